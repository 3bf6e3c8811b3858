"""The training loop: one fine-tuning run of the multitask model, on one process or as one rank of several."""

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.data.batching import Batch, Split, epoch_batches, num_steps, prefetched
from mtbert_ray.errors import DivergedError
from mtbert_ray.models.adapters import count_parameters
from mtbert_ray.training.checkpoint import CheckpointWriter, initial_model
from mtbert_ray.training.embedding_cache import cache_embeddings, can_cache_embeddings
from mtbert_ray.training.evaluate import EpochResult, evaluate
from mtbert_ray.training.inputs import LoadInputs, load_inputs, row_notes
from mtbert_ray.training.loss import EpochLosses, LossSums, RowLosses, TrainingLoss, check_weights
from mtbert_ray.training.optimizer import make_optimizer, make_schedule
from mtbert_ray.training.probe import Pace, ProbeResult, is_probed
from mtbert_ray.training.process import Process, uses_bf16
from mtbert_ray.training.profile import profiling

CHECKPOINT_NAME = "checkpoint"
_STEPS_BETWEEN_CHECKS = 200
"""Steps after which the sums of the losses are read: reading them waits for the GPU and, over ranks, for all."""


class TrainingRun:
    """A run with its data, model and optimizer, ready for its first step.

    Args:
        config: of the trial.
        process: this rank; the process group must be initialized where there are several.
        folder: for the best epoch's checkpoint and the traces; none keeps neither.
        on_step: called after each optimizer step with (steps taken, steps of the run).
        load: returns the encoded rows of a split.
        write_behind: whether a run on a GPU writes checkpoints in a thread while it continues; `epochs` does not end
            before they are on disk. Not where a reported epoch must have its checkpoint on disk. On a CPU the copy of
            the weights would count as the run's memory, and the thread would take its CPU time.
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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.process = process
        self.folder = folder if process.is_main else None
        self.bf16 = uses_bf16(config, process.device)
        self._on_step = on_step
        self._clock = clock
        self.epoch = self._step = 0
        self.batches: Generator[Batch] = (batch for batch in list[Batch]())
        """Those of the epoch that are still to come."""
        self._best_score: float | None = None
        self._train_seconds = self._eval_seconds = 0.0
        self._train_once_seconds = self._eval_once_seconds = 0.0
        self.prepare(load)
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
        self.caches_embeddings = can_cache_embeddings(self.model, config, [*train.values(), *dev.values()])
        """Whether the encoder runs in the first epoch only: later ones cost what the heads cost."""
        self._loss = _wrap(
            TrainingLoss(self.model, config.smart, seed=config.seed, rank=process.rank, bf16=self.bf16), process
        )
        self._trained = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        self._optimizer = make_optimizer(self.model, config)
        self._schedule = make_schedule(self._optimizer, config, total_steps=self.total_steps)

    def epochs(
        self,
        *,
        probe: ProbeConfig | None = None,
        while_training: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Generator[ProbeResult | EpochResult]:
        """Train and evaluate; yield the probe's result, then one result per epoch. Close it to end a run early.

        A probe changes nothing in the run: batches, random draws and weights are those without it. The checkpoint of
        the best epoch is saved before that epoch is yielded. A run that diverges keeps no checkpoint, not even of an
        earlier epoch.

        Args:
            probe: the steps of the first epoch to take before a ProbeResult; none, or an epoch no longer than that,
                gives none.
            while_training: entered around training, for a meter that counts nothing else.

        Raises:
            DivergedError: losses, weights or outputs became infinite or NaN; on every rank.
        """
        # Dropout draws from torch's global generator; ranks must not share their masks.
        torch.manual_seed(self.config.seed + self.process.rank)
        with closing(self), profiling(self.config.profile, self.folder) as self._after_step:
            if self.caches_embeddings:
                with while_training():
                    self.cache_training_embeddings()
            for epoch in range(1, self.config.epochs + 1):
                try:
                    self.start_epoch(epoch)
                    if epoch == 1 and is_probed(probe, self.train_splits, batch_size=self.config.batch_size):
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
        self._train_once_seconds = self._train_seconds = self._now() - started

    def start_epoch(self, epoch: int) -> None:
        """Shuffle this rank's batches of an epoch; for a GPU a thread prepares them ahead."""
        self.epoch = epoch
        batches = epoch_batches(
            self.train_splits,
            batch_size=self.config.batch_size,
            task_order=self.config.task_order,
            seed=self.config.seed,
            epoch=epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        )
        self.batches = prefetched(batches, self.process.device) if self.process.device.type == "cuda" else batches
        self._sums = LossSums({task: len(split) for task, split in self.train_splits.items()}, self.process)

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
        self._train_seconds += self._now() - started
        left = pace.seconds_left()
        return ProbeResult(
            step=self._step,
            train_seconds=self._train_seconds,
            projected_train_seconds=None if left is None else self._train_seconds + left,
            parameters=self.parameters,
        )

    def train_epoch(self) -> EpochLosses:
        """Take the epoch's remaining steps; return the mean losses of all its steps, over all ranks."""
        started = self._now()
        self._take_steps(self.batches)
        losses = self._sums.means(self.config.smart)
        check_weights(self._trained, self.process)
        self._train_seconds += self._now() - started
        return losses

    def evaluate_epoch(self, losses: EpochLosses) -> EpochResult:
        """Score the dev rows, and save the checkpoint if no earlier epoch was better."""
        started = self._now()
        if self.caches_embeddings and self.epoch == 1:
            self.dev_splits = cache_embeddings(self.model, self.dev_splits, self.process, bf16=self.bf16)
            self._eval_once_seconds = self._now() - started
        scores = evaluate(self.model, self.config.tasks, self.dev_splits, self.process, bf16=self.bf16)
        self._eval_seconds += self._now() - started
        result = EpochResult(
            epoch=self.epoch,
            step=self._step,
            losses=losses,
            scores=scores.values,
            undefined=scores.undefined,
            train_seconds=self._train_seconds,
            eval_seconds=self._eval_seconds,
            train_once_seconds=self._train_once_seconds,
            eval_once_seconds=self._eval_once_seconds,
            parameters=self.parameters,
            is_best=is_best(scores.values["dev_score"], self._best_score),
        )
        if result.is_best:
            self._best_score = result.dev_score
            if self.checkpoints is not None:
                self.checkpoints.save(result.metrics())
        return result

    def close(self) -> None:
        """Stop preparing batches; return when the checkpoints are on disk."""
        self.batches.close()
        if self.checkpoints is not None:
            self.checkpoints.close()

    def _take_steps(self, batches: Iterable[Batch]) -> None:
        self._loss.train()
        for batch in batches:
            self._train_step(batch)
            self._step += 1
            self._after_step()
            if self._step % _STEPS_BETWEEN_CHECKS == 0:
                self._sums.check()
            self._on_step(self._step, self.total_steps)

    def _train_step(self, batch: Batch) -> None:
        """Take one optimizer step over a global batch, of which this is the rank's share."""
        self._optimizer.zero_grad(set_to_none=True)
        *earlier, last = batch.split(self.config.accumulation_steps)
        for part in earlier:
            with self._without_reduction():
                self._add_gradients(part)
        self._add_gradients(last)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._trained.values(), self.config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()

    def _add_gradients(self, part: Batch) -> None:
        part = part.to(self.process.device)
        losses: RowLosses = self._loss(part, self.epoch)
        total_B = losses.task
        if losses.penalty is not None:
            total_B = total_B + self.config.smart.weight * losses.penalty
        # The weights make DDP's mean over ranks the mean over the global batch, also where it divides unevenly.
        (part.weights * total_B).sum().backward()  # type: ignore[no-untyped-call]
        self._sums.add(part, losses)

    def _without_reduction(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank until the step's last part: one reduction a step is enough."""
        return self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) else nullcontext()

    def _diverged(self, error: DivergedError) -> DivergedError:
        """Remove the checkpoint, and return the error with what may help."""
        config, kept = self.config, ""
        try:
            if self.checkpoints is not None:
                self.checkpoints.discard()
        except OSError as problem:
            kept = f"; the checkpoint of an earlier epoch cannot be removed: {problem}"
        norm = "max_grad_norm" if config.max_grad_norm is None else f"a max_grad_norm below {config.max_grad_norm:g}"
        smaller = " or a smaller smart.epsilon or smart.weight" if config.smart.tasks else ""
        return DivergedError(
            f"{error} in epoch {self.epoch}; a lower learning rate than {config.scaled_learning_rate:g}, "
            f"{norm}{smaller} may help{kept}"
        )

    def _now(self) -> float:
        if self.process.device.type == "cuda":
            torch.cuda.synchronize(self.process.device)
        return self._clock()


def is_best(dev_score: float | None, best_score: float | None) -> bool:
    """Return whether an epoch is the best so far: the first of those with the highest score.

    While no epoch has a score the latest one counts as best, as in `trial.best_place`.
    """
    return best_score is None or (dev_score is not None and dev_score > best_score)


def _wrap(loss: TrainingLoss, process: Process) -> nn.Module:
    """Return the loss for training steps: under DDP where there are several ranks."""
    if process.world_size == 1:
        return loss
    device_ids = [process.device.index] if process.device.type == "cuda" else None
    # A step trains one task, so the other heads get no gradient; DDP must look for them at each step.
    return DistributedDataParallel(loss, device_ids=device_ids, find_unused_parameters=True)
