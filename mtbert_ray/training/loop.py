"""The training loop: one fine-tuning run of the multitask model, on one process or as one rank of several.

Some 300 lines, not split: a run is read here from its first step to its last, and each part of it has its own file.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.data.batching import Batch, Split, epoch_batches, num_steps, prefetched
from mtbert_ray.errors import DivergedError
from mtbert_ray.models.adapters import count_parameters
from mtbert_ray.training.best_predictions import BestPredictions
from mtbert_ray.training.checkpoint import CheckpointWriter, initial_model
from mtbert_ray.training.embedding_cache import cache_embeddings, can_cache_embeddings
from mtbert_ray.training.evaluate import EpochResult, evaluate, is_best
from mtbert_ray.training.inputs import LoadInputs, load_inputs, row_notes
from mtbert_ray.training.loss import EpochLosses, LossSums, check_weights
from mtbert_ray.training.probe import Pace, ProbeResult, is_probed
from mtbert_ray.training.process import Process, uses_bf16
from mtbert_ray.training.profile import profiling
from mtbert_ray.training.run_state import Progress, RunState
from mtbert_ray.training.step import RANDOM_STATES, TrainingStep

CHECKPOINT_NAME = "checkpoint"
_STEPS_BETWEEN_CHECKS = 200
"""Steps after which the sums of the losses are read: reading them waits for the GPU and, over ranks, for all."""


class TrainingRun:
    """A run with its data, model and optimizer, ready for its first step.

    Args:
        config: of the trial.
        process: this rank; the process group must be initialized where there are several.
        folder: for the best epoch's checkpoint and dev predictions, and the traces; without one nothing is kept.
        on_step: called after each optimizer step with (steps taken, steps of the run).
        load: returns the encoded rows of a split.
        write_behind: whether a run on a GPU writes checkpoints in a thread while it continues; `epochs` does not end
            before they are on disk. Not where a reported epoch must have its checkpoint on disk. On a CPU the copy of
            the weights would count as the run's memory, and the thread would take its CPU time.
        state: saves the run's state while it trains; the run continues from the one that is there.
        clock: monotonic seconds.

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: the encoder cannot be found.
        ConfigError: the adapter does not fit the encoder.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        process: Process,
        folder: Path | None = None,
        on_step: Callable[[int, int], None] = lambda step, total_steps: None,
        load: LoadInputs = load_inputs,
        write_behind: bool = False,
        state: RunState | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.process = process
        self.folder = folder if process.is_main else None
        self.bf16 = uses_bf16(config, process.device)
        self._on_step = on_step
        self._clock = clock
        self.progress = Progress()
        self.meter_state: Callable[[], dict[str, Any]] = dict
        """What a meter wants saved with the run's state."""
        self.batches: Generator[Batch] = (batch for batch in list[Batch]())
        """Those of the epoch that are still to come."""
        self._state = state
        self.prepare(load)
        self._predictions = BestPredictions(self.folder)
        self.restored: dict[str, Any] | None = None
        """The state that the run continues from, if there was one."""
        if state is not None:
            self._restore(state)
        self.checkpoints: CheckpointWriter | None = None
        """Keeps the best epoch's model; none where this rank or run keeps none."""
        if self.folder is not None:
            behind = write_behind and process.device.type == "cuda"
            self.checkpoints = CheckpointWriter(self.folder / CHECKPOINT_NAME, self.model, config, behind=behind)

    def prepare(self, load: LoadInputs) -> None:
        """Load the data, build the model, its loss, optimizer and learning-rate schedule."""
        config, process = self.config, self.process
        train, dev = load(config, "train"), load(config, "dev")
        self.row_notes = (*row_notes(train, "train"), *row_notes(dev, "dev"))
        """What a user should know of the rows that were read, a line per task and split."""
        self.train_splits: Mapping[str, Split] = train
        self.dev_splits: Mapping[str, Split] = dev
        self.total_steps = config.epochs * num_steps(train, batch_size=config.batch_size)
        self.model = initial_model(config).to(process.device)
        self.parameters = count_parameters(self.model)
        can_cache = can_cache_embeddings(self.model, config, [*train.values(), *dev.values()])
        self.caches_embeddings = all(process.gather(can_cache))  # Nodes may differ in free memory.
        """Whether the encoder runs in the first epoch only: later ones cost what the heads cost."""
        self._steps = TrainingStep(self.model, config, process, bf16=self.bf16, total_steps=self.total_steps)

    def _restore(self, state: RunState) -> None:
        """Continue from a saved state, if there is one. What that takes is not counted as the run's."""
        self.restored = state.load()
        if self.restored is None:
            return
        self._steps.load_state_dict(self.restored["steps"])
        # A second copy of the weights would count as the run's memory.
        self.restored["steps"] = {name: self.restored["steps"][name] for name in RANDOM_STATES}
        self.progress = self.restored["progress"]
        self._predictions.load_state_dict(self.restored.pop("predictions", {}))
        if self.caches_embeddings:
            self.train_splits = cache_embeddings(self.model, self.train_splits, self.process, bf16=self.bf16)
            if self.progress.num_ended > 0:
                self.dev_splits = cache_embeddings(self.model, self.dev_splits, self.process, bf16=self.bf16)

    def save_state(self) -> None:
        """Save the run's state between two steps; every rank must call it at the same one.

        Raises:
            OSError: the disk refuses.
        """
        if self._state is None:
            return
        content = {
            "steps": self._steps.state_dict(),
            "meter": self.meter_state(),
            "predictions": self._predictions.state_dict(),
        }
        if self.progress.epoch_steps:
            content["sums"] = self._sums.state_dict()
        self._state.save(self.progress, content)

    def epochs(
        self,
        *,
        probe: ProbeConfig | None = None,
        while_training: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Generator[ProbeResult | EpochResult]:
        """Train and evaluate; yield the probe's result, then one result per epoch. Close it to end a run early.

        A probe changes nothing in the run: batches, random draws and weights are those without it. Checkpoint and dev
        predictions of the best epoch are saved before that epoch is yielded. A run that diverges keeps neither, not
        even of an earlier epoch.

        Args:
            probe: the steps of the first epoch to take before a ProbeResult; none, or an epoch no longer than that,
                gives none.
            while_training: entered around training, for a meter that counts nothing else.

        Raises:
            DivergedError: losses, weights or outputs became infinite or NaN; on every rank.
        """
        # Dropout draws from torch's global generator; ranks must not share their masks.
        torch.manual_seed(self.config.seed + self.process.rank)
        traces = self.folder if self.restored is None else None  # Else the steps to record have been taken.
        with closing(self), profiling(self.config.profile, traces) as self._after_step:
            if self.restored is not None:
                self._steps.seed_from(self.restored["steps"])
            elif self.caches_embeddings:
                with while_training():
                    self.cache_training_embeddings()
            for epoch in range(self.progress.next_epoch, self.config.epochs + 1):
                try:
                    self.start_epoch(epoch)
                    is_new = self.progress.step == 0
                    if is_new and is_probed(probe, self.train_splits, batch_size=self.config.batch_size):
                        with while_training():
                            result = self.probe(probe)
                        yield result
                    with while_training():
                        losses = self.train_epoch()
                    yield self.evaluate_epoch(losses)
                except DivergedError as error:
                    raise self._diverged(error) from error

    def cache_training_embeddings(self) -> None:
        """Replace the training rows by the frozen encoder's outputs."""
        started = self._now()
        self.train_splits = cache_embeddings(self.model, self.train_splits, self.process, bf16=self.bf16)
        self.progress.train_once_seconds = self.progress.train_seconds = self._now() - started

    def start_epoch(self, epoch: int) -> None:
        """Shuffle this rank's batches of an epoch; for a GPU a thread prepares them ahead."""
        self.progress.epoch = epoch
        batches = epoch_batches(
            self.train_splits,
            batch_size=self.config.batch_size,
            task_order=self.config.task_order,
            seed=self.config.seed,
            epoch=epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        )
        if self.progress.epoch_steps:  # Those that an earlier attempt has taken.
            batches = (batch for batch in islice(batches, self.progress.epoch_steps, None))
        self.batches = prefetched(batches, self.process.device) if self.process.device.type == "cuda" else batches
        self._sums = LossSums({task: len(split) for task, split in self.train_splits.items()}, self.process)
        if self.progress.epoch_steps and self.restored is not None:
            self._sums.load_state_dict(self.restored["sums"])

    def probe(self, probe: ProbeConfig) -> ProbeResult:
        """Take the first steps of the epoch and project the run's training time from them; `train_epoch` continues."""
        started = self._now()
        pace = Pace(
            {task: split.lengths for task, split in self.train_splits.items()},
            batch_size=self.config.batch_size,
            epochs=self.config.epochs,
            world_size=self.process.world_size,
            regularized=self.config.smart.tasks,
        )
        self._take_steps(pace.counted(islice(self.batches, probe.warmup_steps)))
        self._take_steps(pace.timed(islice(self.batches, probe.steps), self._now))
        self._sums.check()
        self.progress.train_seconds += self._now() - started
        left = pace.seconds_left()
        return ProbeResult(
            step=self.progress.step,
            train_seconds=self.progress.train_seconds,
            projected_train_seconds=None if left is None else self.progress.train_seconds + left,
            parameters=self.parameters,
        )

    def train_epoch(self) -> EpochLosses:
        """Take the epoch's remaining steps; return the mean losses of all its steps, over all ranks."""
        self._training_since = self._now()
        self._take_steps(self._with_states(self.batches))
        losses = self._sums.means(self.config.smart)
        check_weights(self._steps.trained, self.process)
        self._count_training()
        return losses

    def _with_states(self, batches: Iterable[Batch]) -> Generator[Batch]:
        """Pass batches on, and save the state between steps when one is due; its time is not counted as training."""
        for batch in batches:
            yield batch
            if self._state is None or not self._state.is_due(self.progress.step):
                continue
            self._count_training()
            self.save_state()
            self._training_since = self._now()

    def _count_training(self) -> None:
        self.progress.train_seconds += self._now() - self._training_since

    def evaluate_epoch(self, losses: EpochLosses) -> EpochResult:
        """Score the dev rows, and save checkpoint and predictions if no earlier epoch was better."""
        started, progress = self._now(), self.progress
        if self.caches_embeddings and progress.epoch == 1:
            self.dev_splits = cache_embeddings(self.model, self.dev_splits, self.process, bf16=self.bf16)
            progress.eval_once_seconds = self._now() - started
        evaluation = evaluate(self.model, self.config.tasks, self.dev_splits, self.process, bf16=self.bf16)
        scores = evaluation.scores
        progress.eval_seconds += self._now() - started
        progress.epoch_steps = 0
        result = EpochResult(
            epoch=progress.epoch,
            step=progress.step,
            losses=losses,
            scores=scores.values,
            undefined=scores.undefined,
            parameters=self.parameters,
            is_best=is_best(scores.values["dev_score"], progress.best_score),
            **progress.seconds,
        )
        if result.is_best:
            progress.best_score = result.dev_score
            if self.checkpoints is not None:
                self.checkpoints.save(result.metrics())
            self._predictions.save(result.epoch, evaluation.predictions)
        return result

    def close(self) -> None:
        """Stop preparing batches; return when the checkpoints are on disk."""
        self.batches.close()
        if self.checkpoints is not None:
            self.checkpoints.close()

    def _take_steps(self, batches: Iterable[Batch]) -> None:
        self._steps.train()
        for batch in batches:
            self._steps.take(batch, self.progress.epoch, self._sums)
            self.progress.step += 1
            self.progress.epoch_steps += 1
            self._after_step()
            if self.progress.step % _STEPS_BETWEEN_CHECKS == 0:
                self._sums.check()
            self._on_step(self.progress.step, self.total_steps)

    def _diverged(self, error: DivergedError) -> DivergedError:
        """Remove checkpoint and predictions, and return the error with what may help."""
        config, kept = self.config, ""
        for files in (self.checkpoints, self._predictions):
            try:
                if files is not None:
                    files.discard()
            except OSError as problem:
                kept = f"; the files of an earlier epoch cannot be removed: {problem}"
        norm = "max_grad_norm" if config.max_grad_norm is None else f"a max_grad_norm below {config.max_grad_norm:g}"
        smaller = " or a smaller smart.epsilon or smart.weight" if config.smart.tasks else ""
        return DivergedError(
            f"{error} in epoch {self.progress.epoch}; a lower learning rate than {config.scaled_learning_rate:g}, "
            f"{norm}{smaller} may help{kept}"
        )

    def _now(self) -> float:
        if self.process.device.type == "cuda":
            torch.cuda.synchronize(self.process.device)
        return self._clock()
