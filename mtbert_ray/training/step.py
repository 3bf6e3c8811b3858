"""One optimizer step of a run: losses, gradients, their norm, AdamW and the learning-rate schedule."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.batching import Batch
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.loss import LossSums, RowLosses, TrainingLoss
from mtbert_ray.training.optimizer import make_optimizer, make_schedule
from mtbert_ray.training.process import Process

RANDOM_STATES = ("random", "random_on_gpu")
"""What `TrainingStep.seed_from` takes of a state."""


class TrainingStep:
    """Takes the steps of a run, on one rank, and holds all that they change.

    `total_steps` are those of the whole run. With `bf16` passes are autocast to bfloat16.
    """

    def __init__(
        self, model: MultitaskModel, config: TrialConfig, process: Process, *, bf16: bool, total_steps: int
    ) -> None:
        self.trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._config = config
        self._process = process
        loss = TrainingLoss(model, config.smart, seed=config.seed, rank=process.rank, bf16=bf16)
        self._dropout_seeds = loss.dropout_seeds
        self._loss = _wrap(loss, process)
        self._optimizer = make_optimizer(model, config)
        self._schedule = make_schedule(self._optimizer, config, total_steps=total_steps)

    def train(self) -> None:
        """Put the model into training mode, in which scoring does not leave it."""
        self._loss.train()

    def take(self, batch: Batch, epoch: int, sums: LossSums) -> None:
        """Take one optimizer step over a global batch, of which this is the rank's share, and add its losses."""
        self._optimizer.zero_grad(set_to_none=True)
        *earlier, last = batch.split(self._config.accumulation_steps)
        for part in earlier:
            with self._without_reduction():
                self._add_gradients(part, epoch, sums)
        self._add_gradients(last, epoch, sums)
        if self._config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained.values(), self._config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return all that steps change and draw from; its tensors are the run's own, not copies."""
        device = self._process.device
        return {
            "weights": {name: parameter.detach() for name, parameter in self.trained.items()},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "dropout_seeds": self._dropout_seeds.get_state(),
            "random": torch.get_rng_state(),
            "random_on_gpu": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave, but for torch's global generators: those are for `seed_from`.

        Raises:
            ValueError: it is of another model.
        """
        weights = state["weights"]
        shapes = {name: (parameter.shape, parameter.dtype) for name, parameter in self.trained.items()}
        if {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()} != shapes:
            raise ValueError("its weights are those of another model")
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(weights[name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._dropout_seeds.set_state(state["dropout_seeds"])

    def seed_from(self, state: Mapping[str, Any]) -> None:
        """Set torch's global generators, from which dropout draws, to those of `state_dict`."""
        torch.set_rng_state(state["random"])
        if self._process.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_on_gpu"], self._process.device)

    def _add_gradients(self, part: Batch, epoch: int, sums: LossSums) -> None:
        part = part.to(self._process.device)
        losses: RowLosses = self._loss(part, epoch)
        total_B = losses.task
        if losses.penalty is not None:
            total_B = total_B + self._config.smart.weight * losses.penalty
        # The weights make DDP's mean over ranks the mean over the global batch, also where it divides unevenly.
        (part.weights * total_B).sum().backward()  # type: ignore[no-untyped-call]
        sums.add(part, losses)

    def _without_reduction(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank until the step's last part: one reduction a step is enough."""
        return self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) else nullcontext()


def _wrap(loss: TrainingLoss, process: Process) -> nn.Module:
    """Return the loss for training steps: under DDP where there are several ranks."""
    if process.world_size == 1:
        return loss
    device_ids = [process.device.index] if process.device.type == "cuda" else None
    # A step trains one task, so the other heads get no gradient; DDP must look for them at each step.
    return DistributedDataParallel(loss, device_ids=device_ids, find_unused_parameters=True)
