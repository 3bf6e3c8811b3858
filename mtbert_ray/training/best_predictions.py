"""The dev predictions of a run's best epoch: beside its checkpoint, and in its state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mtbert_ray.scoring.dev_predictions import TaskPredictions, dev_predictions_file, write_dev_predictions


class BestPredictions:
    """Keeps the predictions of one run in its folder; without a folder it keeps none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._best: tuple[int, dict[str, TaskPredictions]] | None = None

    def save(self, epoch: int, predictions: Mapping[str, TaskPredictions]) -> None:
        """Keep those of a better epoch, in place of earlier ones.

        Raises:
            OSError: the disk refuses.
        """
        if self._folder is not None:
            write_dev_predictions(self._folder, predictions, epoch=epoch)
            self._best = epoch, dict(predictions)

    def discard(self) -> None:
        """Remove what the folder has, also of an earlier attempt.

        Raises:
            OSError: it cannot be removed.
        """
        self._best = None
        if self._folder is None:
            return
        path = dev_predictions_file(self._folder)
        path.unlink(missing_ok=True)
        # Where `predict` has put its own files, the folder stays.
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def state_dict(self) -> dict[str, Any]:
        """Return them as a run's state holds them; empty without any."""
        if self._best is None:
            return {}
        epoch, predictions = self._best
        return {"epoch": epoch, "tasks": {task: _as_tensors(kept) for task, kept in predictions.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put what `state_dict` gave into the folder: the file may be of an epoch that will be trained again.

        Raises:
            OSError: the disk refuses.
        """
        if state:
            self.save(state["epoch"], {task: _from_tensors(kept) for task, kept in state["tasks"].items()})
        else:
            self.discard()


def _as_tensors(kept: TaskPredictions) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in kept.arrays().items()}


def _from_tensors(tensors: Mapping[str, torch.Tensor]) -> TaskPredictions:
    return TaskPredictions(**{name: tensor.numpy() for name, tensor in tensors.items()})
