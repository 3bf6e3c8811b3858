"""The state of a run between two steps: saved whole or not at all, so that another process continues from it.

It is one file a rank. With the same seed on a CPU, a run that was killed and continued has the losses, scores and
checkpoint of one that ran through, bit for bit.
"""

import json
import logging
import pickle
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.files import put_file
from mtbert_ray.training.process import Process

STATE_NAME = "state"
"""Folder of a run's state, in the run's own."""
_COMPLETE_NAME = "complete.json"
_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Progress:
    """How far a run has come, and what that took on this rank."""

    epoch: int = 0
    """That runs, or the last one that ended."""
    step: int = 0
    """Optimizer steps taken."""
    epoch_steps: int = 0
    """Those of an epoch that runs; 0 between epochs."""
    best_score: float | None = None
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    train_once_seconds: float = 0.0
    """Training time that later epochs do not take again: the embedding cache."""
    eval_once_seconds: float = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """The times, by their names in `mtbert_ray.metrics`."""
        return {name: value for name, value in asdict(self).items() if name.endswith("_seconds")}

    @property
    def next_epoch(self) -> int:
        """The epoch that a run continues with."""
        return self.epoch if self.epoch_steps else self.epoch + 1

    @property
    def num_ended(self) -> int:
        """Epochs that have been trained and scored."""
        return self.next_epoch - 1


class RunState:
    """The files of a run's state in a folder that all its ranks share; ranks on other nodes have their own.

    Args:
        folder: made when a state is saved.
        config: of the run; a state of another one is not taken.
        process: this rank.
        minutes: between two states within an epoch; none saves after epochs only.
        min_epochs: a state of fewer ended epochs is not taken: what is known of the run is ahead of it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        config: TrialConfig,
        process: Process,
        *,
        minutes: float | None = None,
        min_epochs: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._digest = _digest_of(config)
        self._process = process
        self._minutes = minutes
        self._min_epochs = min_epochs
        self._clock = clock
        self._saved_at = clock()

    def is_due(self) -> bool:
        """Return whether a state within an epoch is due, the same on every rank; all must ask after the same step."""
        if self._minutes is None:
            return False
        return max(self._process.gather(self._clock() - self._saved_at)) >= 60 * self._minutes

    def save(self, progress: Progress, content: Mapping[str, Any]) -> None:
        """Save this rank's state, in place of an earlier one once every rank has; every rank must call it.

        `content` has tensors, numbers, texts, lists and mappings.

        Raises:
            OSError: the disk refuses.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._file(progress.step, progress.num_ended)
        put_file(path, lambda new: torch.save({"progress": asdict(progress), **content}, new))
        self._process.gather(None)  # Until all have written, the earlier state is the one that counts.
        complete = {
            "step": progress.step,
            "epochs": progress.num_ended,
            "config": self._digest,
            "world_size": self._process.world_size,
        }
        if self._process.is_main:
            put_file(self._folder / _COMPLETE_NAME, lambda new: new.write_text(json.dumps(complete), encoding="utf-8"))
        self._process.gather(None)
        for old in self._folder.glob(f"*.rank-{self._process.rank}.pt*"):
            if old != path:
                old.unlink(missing_ok=True)
        self._saved_at = self._clock()

    def load(self) -> dict[str, Any] | None:
        """Return this rank's state, with its tensors on the CPU and `progress`; None if any rank lacks its own.

        A state that cannot be read is left aside with a warning: the run starts over.
        """
        state = self._read()
        places = self._process.gather(None if state is None else (state["progress"].step, state["progress"].epoch))
        if state is None or None in places or len(set(places)) > 1:
            return None
        self._saved_at = self._clock()
        return state

    def remove(self) -> None:
        """Remove the state, which a run that has ended does not need."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> dict[str, Any] | None:
        path = self._folder / _COMPLETE_NAME
        if not path.exists():
            return None
        try:
            complete = json.loads(path.read_text(encoding="utf-8"))
            if (complete["config"], complete["world_size"]) != (self._digest, self._process.world_size):
                return None
            file = self._file(int(complete["step"]), int(complete["epochs"]))
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            progress = Progress(**state["progress"])
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            _log.warning("%s: its state cannot be read, so it starts over: %s", self._folder, error)
            return None
        return {**state, "progress": progress} if progress.num_ended >= self._min_epochs else None

    def _file(self, step: int, epochs: int) -> Path:
        return self._folder / f"step-{step}-epochs-{epochs}.rank-{self._process.rank}.pt"


def _digest_of(config: TrialConfig) -> str:
    return blake2b(config.model_dump_json().encode(), digest_size=16).hexdigest()
