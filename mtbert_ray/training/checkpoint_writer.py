"""Keeps a run's best checkpoint on disk, where that pays in a thread beside the training."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from mtbert_ray.config import TrialConfig
from mtbert_ray.metrics import Metrics
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import KeptWeights, kept_weights, write_checkpoint, write_metrics


class CheckpointWriter:
    """Writes the checkpoints of one run, one after another.

    Args:
        folder: of the checkpoint.
        model: the bare model, not its DDP wrapper.
        config: the setting.
        behind: whether to write beside what the run does next. The weights are then copied first, one copy at a time;
            what goes wrong is raised by a later call, at the latest by `close`.
        write: what writes one.
    """

    def __init__(
        self,
        folder: Path,
        model: MultitaskModel,
        config: TrialConfig,
        *,
        behind: bool,
        write: Callable[[Path, KeptWeights, TrialConfig, Metrics], None] = write_checkpoint,
    ) -> None:
        self._folder = folder
        self._model = model
        self._config = config
        self._write = write
        self._fingerprint: str | None = None
        self._has_saved = False
        self._thread = ThreadPoolExecutor(1, "checkpoint") if behind else None
        self._pending: list[Future[None]] = []

    def save(self, metrics: Metrics) -> None:
        """Keep the model as it is now, in place of an earlier checkpoint of the run.

        Raises:
            OSError: the disk refused this or, behind, an earlier one.
        """
        self._has_saved = True
        self.wait()  # Never two copies of the weights at once.
        weights = kept_weights(self._model, self._config, copy=self._thread is not None, fingerprint=self._fingerprint)
        self._fingerprint = weights.base_fingerprint
        self._do(partial(self._write, self._folder, weights, self._config, metrics))

    def write_metrics(self, metrics: Metrics) -> None:
        """Write what is known by now of the epoch that the checkpoint holds.

        Raises:
            OSError: as for `save`.
            CheckpointError: there is no checkpoint.
        """
        self._do(partial(write_metrics, self._folder, metrics))

    def wait(self) -> None:
        """Return when all is on disk; raises what went wrong until then."""
        pending, self._pending = self._pending, []
        for job in pending:
            job.result()

    def discard(self) -> None:
        """Remove the checkpoint that was saved, if one was: the run came to nothing.

        Raises:
            OSError: it cannot be removed.
        """
        pending, self._pending = self._pending, []
        wait(pending)  # Whatever became of them: what was not written need not be removed.
        if self._has_saved and self._folder.exists():
            shutil.rmtree(self._folder)

    def close(self) -> None:
        """Return when all is on disk, and write no more; raises what went wrong until then."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    def _do(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            job()
            return
        done = [earlier for earlier in self._pending if earlier.done()]
        self._pending = [earlier for earlier in self._pending if earlier not in done]
        for earlier in done:
            earlier.result()
        self._pending.append(self._thread.submit(job))
