"""One fine-tuning run of the multitask model: the page everyone reads.

Runs on one process or as one rank of several; who started it, who meters it and who listens is not its concern.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.data.batching import Batch, Split, epoch_batches, num_steps, prefetched
from mtbert_ray.errors import DivergedError
from mtbert_ray.models.adapters import count_parameters
from mtbert_ray.training.checkpoint_writer import CheckpointWriter
from mtbert_ray.training.embedding_cache import OnceSeconds, embedded, embeds_once
from mtbert_ray.training.evaluate import EpochResult, evaluate
from mtbert_ray.training.initial_weights import initial_model
from mtbert_ray.training.inputs import LoadInputs, load_inputs, said_of
from mtbert_ray.training.loss import LossSums, RowLosses, TrainingLoss, check_weights
from mtbert_ray.training.optimizer import make_optimizer, make_schedule
from mtbert_ray.training.probe import Pace, ProbeResult, is_probed
from mtbert_ray.training.process import Process
from mtbert_ray.training.profile import profiling

CHECKPOINT_NAME = "checkpoint"
_STEPS_BETWEEN_CHECKS = 200
"""Of an epoch, after which the sums of the losses are read: reading them waits for the GPU and, over ranks, for all."""


class TrainingRun:
    """A run that has its data and its model and is ready for its first step.

    Args:
        config: the setting.
        process: this rank's place; the process group is expected to be initialized where there are several.
        folder: of the run, for the best epoch's checkpoint and the traces; none keeps neither.
        on_step: called after each optimizer step with (steps taken, steps of the run).
        load: gives the encoded rows of a setting's split.
        write_behind: whether checkpoints are written while the run goes on, if it is on a GPU; `epochs` does not end
            before they are on disk. Not where a result that was told of must have its checkpoint. On a CPU the copy
            of the weights would count as the run's memory, and the thread would take its processor.
        clock: seconds that never fall.

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
        on_step: Callable[[int, int], None] | None = None,
        load: LoadInputs = load_inputs,
        write_behind: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config
        self.process = process
        self.bf16 = uses_bf16(config, process.device)
        train, dev = load(config, "train"), load(config, "dev")
        self.said_of_rows = (*said_of(train, "train"), *said_of(dev, "dev"))
        """What a user should know of the rows that were read, a line a task and split."""
        self.train_splits: Mapping[str, Split] = train
        self.dev_splits: Mapping[str, Split] = dev
        self.model = initial_model(config).to(process.device)
        self.parameters = count_parameters(self.model)
        self.total_steps = config.epochs * num_steps(self.train_splits, batch_size=config.batch_size)
        self.folder = folder
        self.checkpoints: CheckpointWriter | None = None
        """Keeps the best epoch's model; none where this rank or run keeps none."""
        if folder is not None and process.is_main:
            behind = write_behind and process.device.type == "cuda"
            self.checkpoints = CheckpointWriter(folder / CHECKPOINT_NAME, self.model, config, behind=behind)
        self._on_step = on_step
        self._clock = clock
        self._loss = _wrap(
            TrainingLoss(self.model, config.smart, seed=config.seed, rank=process.rank, bf16=self.bf16), process
        )
        self._trained = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        self._optimizer = make_optimizer(self.model, config)
        self._schedule = make_schedule(self._optimizer, config, total_steps=self.total_steps)
        self.embeds_once = embeds_once(self.model, config, [*self.train_splits.values(), *self.dev_splits.values()])
        """Whether the first epoch ends with the encoder's work done: later ones cost what the heads cost."""
        self._step = 0
        self._train_seconds = self._eval_seconds = 0.0
        self._once = OnceSeconds()

    def epochs(
        self,
        *,
        while_training: Callable[[], AbstractContextManager[None]] = nullcontext,
        probe: ProbeConfig | None = None,
    ) -> Generator[ProbeResult | EpochResult]:
        """Train and score, one epoch a turn; before the first one ends, tell what the run will take.

        A probe changes nothing in the run: the batches, the draws and the weights are those without it. A run that
        diverges keeps no checkpoint, also not of an earlier epoch.

        Args:
            while_training: entered around each epoch's steps, for a meter that counts training only; left while a
                probe's result is out.
            probe: after which steps of the first epoch to give a ProbeResult, unless the epoch is no longer than
                that; none gives none.

        Raises:
            DivergedError: losses, weights or outputs became infinite or NaN; on every rank.
        """
        # Dropout draws from torch's global generator; ranks must not share their masks.
        torch.manual_seed(self.config.seed + self.process.rank)
        best_score: float | None = None
        with (
            nullcontext() if self.checkpoints is None else closing(self.checkpoints),
            profiling(self.config.profile, self.folder if self.process.is_main else None) as note_step,
        ):
            for epoch in range(1, self.config.epochs + 1):
                probe = probe if epoch == 1 else None
                with (
                    self._diverging(epoch),
                    closing(self._epoch(epoch, best_score, while_training, note_step, probe)) as results,
                ):
                    for result in results:
                        if isinstance(result, EpochResult) and result.is_best:
                            best_score = result.dev_score
                            if self.checkpoints is not None:
                                self.checkpoints.save(result.metrics())
                        yield result

    def _epoch(
        self,
        epoch: int,
        best_score: float | None,
        while_training: Callable[[], AbstractContextManager[None]],
        note_step: Callable[[], None],
        probe: ProbeConfig | None,
    ) -> Generator[ProbeResult | EpochResult]:
        if epoch == 1 and self.embeds_once:
            with self._training(while_training):
                self.train_splits = embedded(self.model, self.train_splits, self.process, bf16=self.bf16)
            self._once = OnceSeconds(train=self._train_seconds)
        sums = LossSums({task: len(split) for task, split in self.train_splits.items()}, self.process)
        take_steps = partial(self._take_steps, epoch=epoch, sums=sums, note_step=note_step)
        with closing(self._batches(epoch)) as batches:
            if probe is not None and is_probed(probe, self.train_splits, batch_size=self.config.batch_size):
                with self._training(while_training):
                    pace = Pace.of(self.config, self.train_splits, world_size=self.process.world_size)
                    take_steps(pace.counted(islice(batches, probe.warmup_steps)))
                    take_steps(pace.timed(islice(batches, probe.steps), self._now))
                    sums.check()
                yield pace.result(step=self._step, train_seconds=self._train_seconds, parameters=self.parameters)
            with self._training(while_training):
                take_steps(batches)
                losses = sums.means(self.config.smart)
                check_weights(self._trained, self.process)
        trained = self._now()
        if epoch == 1 and self.embeds_once:
            self.dev_splits = embedded(self.model, self.dev_splits, self.process, bf16=self.bf16)
            self._once = OnceSeconds(train=self._once.train, eval=self._now() - trained)
        scores = evaluate(self.model, self.config.tasks, self.dev_splits, self.process, bf16=self.bf16)
        self._eval_seconds += self._now() - trained
        yield EpochResult(
            epoch=epoch,
            step=self._step,
            losses=losses,
            scores=scores.values,
            undefined=scores.undefined,
            train_seconds=self._train_seconds,
            eval_seconds=self._eval_seconds,
            once=self._once,
            parameters=self.parameters,
            is_best=is_best(scores.values["dev_score"], best_score),
        )

    def _batches(self, epoch: int) -> Generator[Batch]:
        """Return this rank's batches of an epoch: for a GPU made ready in a thread, ahead of it."""
        batches = epoch_batches(
            self.train_splits,
            batch_size=self.config.batch_size,
            task_order=self.config.task_order,
            seed=self.config.seed,
            epoch=epoch,
            rank=self.process.rank,
            world_size=self.process.world_size,
        )
        return prefetched(batches, self.process.device) if self.process.device.type == "cuda" else batches

    @contextmanager
    def _training(self, while_training: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Count a span as training."""
        started = self._now()
        with while_training():
            yield
            self._train_seconds += self._now() - started

    def _take_steps(
        self, batches: Iterable[Batch], *, epoch: int, sums: LossSums, note_step: Callable[[], None]
    ) -> None:
        self._loss.train()
        for batch in batches:
            self._train_step(batch, epoch, sums)
            self._step += 1
            note_step()
            if self._step % _STEPS_BETWEEN_CHECKS == 0:
                sums.check()
            if self._on_step is not None:
                self._on_step(self._step, self.total_steps)

    @contextmanager
    def _diverging(self, epoch: int) -> Iterator[None]:
        """Let a run that diverges leave no checkpoint, and its error say what may help."""
        try:
            yield
        except DivergedError as error:
            config, kept = self.config, ""
            try:
                if self.checkpoints is not None:
                    self.checkpoints.discard()
            except OSError as problem:
                kept = f"; the checkpoint of an earlier epoch cannot be removed: {problem}"
            norm = (
                "max_grad_norm" if config.max_grad_norm is None else f"a max_grad_norm below {config.max_grad_norm:g}"
            )
            smaller = " or a smaller smart.epsilon or smart.weight" if config.smart.tasks else ""
            raise DivergedError(
                f"{error} in epoch {epoch}; a lower learning rate than {config.scaled_learning_rate:g}, "
                f"{norm}{smaller} may help{kept}"
            ) from error

    def _train_step(self, batch: Batch, epoch: int, sums: LossSums) -> None:
        """Take one optimizer step over a global batch, of which this is the rank's share."""
        self._optimizer.zero_grad(set_to_none=True)
        *earlier, last = batch.split(self.config.accumulation_steps)
        for part in earlier:
            with self._without_reduction():
                self._add_gradients(part, epoch, sums)
        self._add_gradients(last, epoch, sums)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._trained.values(), self.config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()

    def _add_gradients(self, part: Batch, epoch: int, sums: LossSums) -> None:
        part = part.to(self.process.device)
        losses: RowLosses = self._loss(part, epoch)
        total_B = losses.task
        if losses.penalty is not None:
            total_B = total_B + self.config.smart.weight * losses.penalty
        # The weights make DDP's mean over ranks the mean over the global batch, also where it divides unevenly.
        (part.weights * total_B).sum().backward()  # type: ignore[no-untyped-call]
        sums.add(part, losses)

    def _without_reduction(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank until the step's last part: one reduction a step is enough."""
        return self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) else nullcontext()

    def _now(self) -> float:
        if self.process.device.type == "cuda":
            torch.cuda.synchronize(self.process.device)
        return self._clock()


def is_best(dev_score: float | None, best_score: float | None) -> bool:
    """Return whether an epoch is the best so far: the highest score is, of equal ones the first.

    While no epoch has a score the latest one counts as best, as `records.best_place` has it.

    Args:
        dev_score: of the epoch; none where it is undefined.
        best_score: the highest one before it; none while there is none.
    """
    return best_score is None or (dev_score is not None and dev_score > best_score)


def uses_bf16(config: TrialConfig, device: torch.device) -> bool:
    """Return whether the forward pass is autocast to bfloat16 on this device."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bf16"


def _wrap(loss: TrainingLoss, process: Process) -> nn.Module:
    """Return the loss for training steps: under DDP where there are several ranks."""
    if process.world_size == 1:
        return loss
    device_ids = [process.device.index] if process.device.type == "cuda" else None
    # A step trains one task, so the other heads get no gradient; DDP must look for them at each step.
    return DistributedDataParallel(loss, device_ids=device_ids, find_unused_parameters=True)
