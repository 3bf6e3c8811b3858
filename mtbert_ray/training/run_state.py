"""The state of a run between two steps: saved whole or not at all, so that another process continues from it.

It is one file a rank. With the same seed on a CPU, a run that was killed and continued has the losses, scores and
checkpoint of one that ran through, bit for bit.
"""

import json
import logging
import pickle
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.files import put_file
from mtbert_ray.training.process import Process

STATE_NAME = "state"
"""Folder of a run's state, in the run's own."""
_COMPLETE_NAME = "complete.json"
_MAX_STEPS_UNASKED = 200
_UNASKED_SHARE = 0.1
"""Of the time between two states, that may pass until ranks ask each other again."""
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
    """The files of a run's state in a folder that all its ranks share.

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
        self._asked_at, self._asked_step, self._next_step = clock(), 0, 0

    def is_due(self, step: int) -> bool:
        """Return whether a state within an epoch is due after a step, the same on every rank; all must ask.

        Ranks ask each other only as often as the pace of the steps since they last did requires.
        """
        if self._minutes is None or step < self._next_step:
            return False
        now, between = self._clock(), 60 * self._minutes
        times = self._process.gather((now - self._saved_at, now - self._asked_at))
        since_saved, since_asked = (max(column) for column in zip(*times, strict=True))
        pace = since_asked / max(1, step - self._asked_step)
        unasked = _MAX_STEPS_UNASKED if pace <= 0 else int(_UNASKED_SHARE * between / pace)
        self._asked_at, self._asked_step = now, step
        self._next_step = step + max(1, min(_MAX_STEPS_UNASKED, unasked))
        return bool(since_saved >= between)

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

        A state that cannot be read, or is not this run's, is left aside with a warning: the run starts over.
        """
        state = self._read()
        places = self._process.gather(None if state is None else (state["progress"].step, state["progress"].epoch))
        if state is None or None in places or len(set(places)) > 1:
            return None
        self._saved_at = self._clock()
        return state

    def _read(self) -> dict[str, Any] | None:
        path = self._folder / _COMPLETE_NAME
        try:
            if not path.exists():
                if self._min_epochs > 0:  # Else nothing is lost.
                    raise ValueError("there is none on this node")
                return None
            complete = json.loads(path.read_text(encoding="utf-8"))
            if complete["config"] != self._digest:
                raise ValueError("it is of another config or version")
            if complete["world_size"] != self._process.world_size:
                raise ValueError(f"it is of {complete['world_size']} ranks, not {self._process.world_size}")
            file = self._file(int(complete["step"]), int(complete["epochs"]))
            with zipfile.ZipFile(file) as content:  # torch.load does not look at the checksums.
                if (damaged := content.testzip()) is not None:
                    raise ValueError(f"{damaged} in {file.name} is damaged")
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            progress = Progress(**state["progress"])
            if progress.num_ended < self._min_epochs:
                raise ValueError(f"it has {progress.num_ended} epochs, and {self._min_epochs} have been reported")
        except _UNREADABLE as error:
            _log.warning("%s: its state cannot be used, so it starts over: %s", self._folder, error)
            return None
        return {**state, "progress": progress}

    def _file(self, step: int, epochs: int) -> Path:
        return self._folder / f"step-{step}-epochs-{epochs}.rank-{self._process.rank}.pt"


_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def _digest_of(config: TrialConfig) -> str:
    """Return what a state must agree in: what it holds may differ between releases of this package."""
    text = f"{version('mtbert_ray')} {config.model_dump_json()}"
    return blake2b(text.encode(), digest_size=16).hexdigest()
