"""Writes a run's scores, losses and costs as TensorBoard's event files (tensorboardX).

Synchronously: an epoch is on disk before the next one starts, and no thread is left behind by many trials.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.summary import hparams, scalar

from mtbert_ray.events import Scalar
from mtbert_ray.metrics import MEAN_SCORES, METRICS, RESERVED_NAMES, Metrics
from mtbert_ray.schema import made_unique

TENSORBOARD_NAME = "tensorboard"

_SMART = ("smart_penalty", "smart_steps")


class ScalarLog:
    """One run's event file; several of one folder are read as one run.

    The folder is the run's own, below what TensorBoard is started on; it is made.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The library names files by the second, and would write over one that a run left a moment before.
        suffix = f".{time.time_ns() % 10**9:09d}"
        self._writer = EventsWriter(str(folder / "events"), filename_suffix=suffix)

    def add_epoch(self, metrics: Metrics) -> None:
        """Write an epoch's values at its optimizer step; what is None is left out."""
        for name, value in metrics.items():
            if (tag := tag_of(name)) is not None and value is not None:
                self._add(scalar(tag, value), step=metrics["step"])
        self._writer.flush()

    def add_result(self, hyperparameters: Mapping[str, Scalar], metrics: Metrics) -> None:
        """Write hyperparameters, and the final scores and costs of `trial.final_metrics`, for the HPARAMS tab."""
        finals = {
            _as_tag(f"final/{name}"): value for name, value in metrics.items() if value is not None and _is_final(name)
        }
        for part in hparams(dict(hyperparameters), finals):
            self._add(part, step=None)
        for tag, value in finals.items():
            self._add(scalar(tag, value), step=metrics["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, summary: object, *, step: float | None) -> None:
        self._writer.write_event(
            Event(summary=summary, wall_time=time.time(), step=None if step is None else int(step))
        )


def tag_of(name: str) -> str | None:
    """Return the tag of a metric, as `train_loss/sst`, its section first; None for a metric that is no curve."""
    group, _, task = name.partition(".")
    if group == "train_loss":
        return f"train_loss/{task or 'all'}"
    if name in ("epoch", "step"):
        return None
    if name in _SMART:
        return f"smart/{name}"
    # A task cannot have a reserved name, so a name that is not reserved is a task's score.
    is_score = name in MEAN_SCORES or name not in RESERVED_NAMES
    return _as_tag(f"score/{name}" if is_score else f"resources/{name}")


def _as_tag(name: str) -> str:
    """Return a tag that the library does not change: it would give `topic.f1.a|b` and `topic.f1.a b` the same one."""
    return made_unique(re.sub(r"[^-/\w.]", "_", name), name)


def _is_final(name: str) -> bool:
    """Whether a metric describes the whole run: a score or a cost."""
    return name in METRICS or (tag_of(name) or "").startswith("score/")
