"""What a training step minimizes: the task's loss and SMART's regularizer; their sums over an epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtbert_ray.config import SmartConfig
from mtbert_ray.data.batching import Batch
from mtbert_ray.errors import DivergedError
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.process import Process
from mtbert_ray.training.smart import ascend, initial_noise, seed_dropout

# B rows of a rank's batch

_MAX_SEED = 2**62


class RowLosses(NamedTuple):
    """The losses of a batch's rows, (B,) each; a tuple, so that DDP finds the tensors in it."""

    task: Tensor
    penalty: Tensor | None
    """SMART's regularizer before its weight; none for a task without it."""
    smart_steps: int
    """Ascent steps taken."""


class TrainingLoss(nn.Module):
    """The losses of a batch's rows.

    One module and one forward a batch, because DDP prepares its gradient reduction in each forward of what it wraps.
    SMART's noise is drawn from the run's seed, the dropout masks that its passes share from seed and rank, so that
    ranks do not share theirs. With `bf16` passes are autocast to bfloat16; SMART's ascent never is.
    """

    def __init__(self, model: MultitaskModel, smart: SmartConfig, *, seed: int, rank: int, bf16: bool) -> None:
        super().__init__()
        self.model = model
        self._smart = smart
        self._seed = seed
        self._bf16 = bf16
        self.dropout_seeds = torch.Generator().manual_seed(seed + rank)
        """Seeds of the masks that SMART's passes share."""

    def forward(self, batch: Batch, epoch: int) -> RowLosses:
        """Return the losses of a batch that is on the model's device; `epoch` makes the noise new in each."""
        assert batch.labels is not None, "training rows have labels"
        if batch.task not in self._smart.tasks:
            logits = self._logits(batch)
            return RowLosses(self.model.loss(batch.task, logits, batch.labels), None, 0)
        dropout_seed = int(torch.randint(_MAX_SEED, (), generator=self.dropout_seeds))
        seed_dropout(dropout_seed, batch.labels.device)
        logits = self._logits(batch)
        loss_B = self.model.loss(batch.task, logits, batch.labels)
        key = f"seed {self._seed}, epoch {epoch}, {batch.task}"
        noise = initial_noise(self._smart, self.model, batch, key=key)
        plain = self._plain(batch, logits, dropout_seed)
        ascent = ascend(self._smart, self.model, batch, noise, plain=plain, dropout_seed=dropout_seed)
        seed_dropout(dropout_seed, batch.labels.device)
        perturbed = self._logits(batch, ascent.noise)
        return RowLosses(loss_B, self.model.divergence(batch.task, perturbed, logits), ascent.steps)

    def _logits(self, batch: Batch, noise: tuple[Tensor, ...] | None = None) -> Tensor:
        with torch.autocast(batch.rows.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            logits: Tensor = self.model(batch.task, batch.sentences, noise)
        return logits

    def _plain(self, batch: Batch, logits: Tensor, dropout_seed: int) -> Tensor:
        """Return the logits that the ascent moves away from: those of the step, unless they are bfloat16's."""
        if not self._bf16 or self._smart.steps == 0:
            return logits.detach()
        seed_dropout(dropout_seed, logits.device)
        with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
            plain: Tensor = self.model(batch.task, batch.sentences)
        return plain


@dataclass(frozen=True, kw_only=True)
class EpochLosses:
    """Means over an epoch's rows."""

    all: float
    by_task: dict[str, float]
    smart_penalty: float | None
    """Over the rows of SMART's tasks; none without SMART."""
    smart_steps: float | None
    """Ascent steps of a pass."""


class LossSums:
    """Sums the losses of an epoch on the device: reading each would make every step wait for the GPU.

    `rows` maps each task to the number of its training rows, which the ranks share.
    """

    def __init__(self, rows: Mapping[str, int], process: Process) -> None:
        self._rows = rows
        self._process = process
        self._places = {task: place for place, task in enumerate(rows)}
        self._losses = torch.zeros(len(rows), dtype=torch.float64, device=process.device)
        self._penalties = torch.zeros_like(self._losses)
        self._smart_steps = 0
        self._smart_passes = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of this rank."""
        return {
            "losses": self._losses,
            "penalties": self._penalties,
            "smart_steps": self._smart_steps,
            "smart_passes": self._smart_passes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the sums of `state_dict`."""
        self._losses.copy_(state["losses"])
        self._penalties.copy_(state["penalties"])
        self._smart_steps, self._smart_passes = state["smart_steps"], state["smart_passes"]

    def add(self, batch: Batch, losses: RowLosses) -> None:
        """Add a batch's losses; rows without weight only keep a rank in step with the others."""
        place, counts_B = self._places[batch.task], batch.weights > 0
        # Not indexed by the mask: how many rows it leaves, the CPU would have to wait for.
        self._losses[place] += torch.where(counts_B, losses.task.detach(), 0).sum()
        if losses.penalty is not None:
            self._penalties[place] += torch.where(counts_B, losses.penalty.detach(), 0).sum()
            self._smart_steps += losses.smart_steps
            self._smart_passes += 1

    def check(self) -> None:
        """Check that the sums are finite; every rank must call it at the same step. Waits for the device.

        Raises:
            DivergedError: a loss of any rank is infinite or NaN; on every rank.
        """
        sums = {"the training loss": self._losses, "SMART's penalty": self._penalties}
        for what, of_rank in sums.items():
            bad = self._by_task(self._process.sum((~of_rank.isfinite()).double()))
            _require_finite(what, {task: math.nan if count else 0.0 for task, count in bad.items()})

    def means(self, smart: SmartConfig) -> EpochLosses:
        """Return the means over all ranks.

        Raises:
            DivergedError: a loss is infinite or NaN; on every rank.
        """
        losses = self._by_task(self._process.sum(self._losses))
        penalties = self._by_task(self._process.sum(self._penalties))
        counts = torch.tensor([self._smart_steps, self._smart_passes], device=self._process.device)
        steps, passes = self._process.sum(counts).tolist()
        _require_finite("the training loss", losses)
        _require_finite("SMART's penalty", penalties)
        smart_rows = sum(self._rows[task] for task in smart.tasks)
        return EpochLosses(
            all=sum(losses.values()) / sum(self._rows.values()),
            by_task={task: loss / self._rows[task] for task, loss in losses.items()},
            smart_penalty=sum(penalties.values()) / smart_rows if smart_rows else None,
            smart_steps=steps / passes if passes else None,
        )

    def _by_task(self, sums: Tensor) -> dict[str, float]:
        return dict(zip(self._rows, sums.tolist(), strict=True))


@torch.no_grad()
def check_weights(parameters: Mapping[str, nn.Parameter], process: Process) -> None:
    """Check that the weights are finite; every rank must call it at the same step.

    The parameters are in the same order on every rank.

    Raises:
        DivergedError: a weight of any rank is infinite or NaN; on every rank.
    """
    # The smallest and the largest show NaN and either infinity, without memory of the parameters' size.
    ends = [torch.stack(torch.aminmax(parameter.detach())) for parameter in parameters.values()]
    bad = (~torch.stack([end.isfinite().all() for end in ends])).double()
    named = [name for name, count in zip(parameters, process.sum(bad).tolist(), strict=True) if count]
    if named:
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        raise DivergedError(f"the trained weights (of {named[0]}{more}) are not finite")


def _require_finite(what: str, sums: Mapping[str, float]) -> None:
    bad = [task for task, value in sums.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(f"{what} of {', '.join(bad)} is not finite")
