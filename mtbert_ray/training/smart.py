"""SMART's noise: the small change of a row's embeddings that changes the model's output most (Jiang et al. 2020).

Knows the model and a batch; the loss that it is for, and the optimiser, are the caller's.
"""

# B rows, L tokens, E width of a token's embedding

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mtbert_ray.config import SmartConfig
from mtbert_ray.data.batching import Batch
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.noise import normal_noise

Noise = tuple[Tensor, ...]
"""(B, L, E) for each sequence of a row: one, or two for a pair that is encoded separately."""

_TINY = 1e-30
"""Keeps a gradient of nothing but zeros at zero when it is divided by its norm."""


class Norm(Protocol):
    """A norm of each row's noise over all its sequences, tokens and columns."""

    def of(self, noise: Noise) -> Tensor:
        """Return norm_B."""
        ...

    def projected(self, noise: Noise, epsilon: float) -> Noise:
        """Return the nearest noise whose norm is at most epsilon."""
        ...


class MaxNorm:
    """The largest absolute value."""

    def of(self, noise: Noise) -> Tensor:
        """Return norm_B."""
        return torch.stack([part.abs().amax(dim=(1, 2)) for part in noise]).amax(dim=0)

    def projected(self, noise: Noise, epsilon: float) -> Noise:
        """Return each number clamped to -epsilon..epsilon."""
        return tuple(part.clamp(-epsilon, epsilon) for part in noise)


class EuclideanNorm:
    """The square root of the sum of squares."""

    def of(self, noise: Noise) -> Tensor:
        """Return norm_B."""
        return torch.stack([part.square().sum(dim=(1, 2)) for part in noise]).sum(dim=0).sqrt()

    def projected(self, noise: Noise, epsilon: float) -> Noise:
        """Return each row's noise shortened to epsilon, where it is longer."""
        factor_B11 = (epsilon / self.of(noise).clamp_min(_TINY)).clamp(max=1.0)[:, None, None]
        return tuple(part * factor_B11 for part in noise)


NORMS: dict[str, Norm] = {"inf": MaxNorm(), "l2": EuclideanNorm()}


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Where the ascent came to."""

    noise: Noise
    """Detached."""
    steps: int
    """Steps taken: k, or fewer where `tolerance` ended the ascent of every row."""


def start_noise(smart: SmartConfig, model: MultitaskModel, batch: Batch, *, key: str) -> Noise:
    """Return normal noise of the configured variance within epsilon, none on padding.

    Args:
        smart: gives variance, norm and epsilon.
        model: its parameters decide width and type.
        batch: its rows decide the noise together with the key, so that any split of a batch gets the same.
        key: names the draw.
    """
    table = model.encoder.word_embeddings.weight
    parts = []
    for place, tokens in enumerate(batch.sentences):
        mask_BL = tokens["attention_mask"]
        normal = normal_noise(f"{key}, sequence {place}", batch.rows, length=mask_BL.shape[1], width=table.shape[1])
        parts.append(smart.noise_variance**0.5 * normal.to(table.dtype) * mask_BL.unsqueeze(-1))
    return NORMS[smart.norm].projected(tuple(parts), smart.epsilon)


def ascend(
    smart: SmartConfig, model: MultitaskModel, batch: Batch, noise: Noise, *, plain: Tensor, dropout_seed: int
) -> Ascent:
    """Move the noise uphill on the divergence between the perturbed and the plain output.

    k times: noise = projection onto the ball of epsilon of noise + step_size * gradient / |gradient|, each row by
    itself. In the parameters' own type, never bfloat16, whose rounding hides the gradient of a small noise. No
    gradient is left on the parameters.

    Args:
        smart: gives steps, step size, norm, epsilon and tolerance.
        model: in the mode it is trained in.
        batch: B rows.
        noise: to start from, within epsilon.
        plain: the logits without noise, detached, in the parameters' own type.
        dropout_seed: what the dropout masks of the plain pass were drawn from, so that only the noise differs.
    """
    norm = NORMS[smart.norm]
    climbing_B11 = torch.ones(len(batch.rows), 1, 1, dtype=torch.bool, device=plain.device)
    before_B = torch.zeros_like(batch.weights, dtype=plain.dtype)
    for step in range(1, smart.steps + 1):
        divergence_B, gradient = _slope(model, batch, noise, plain, dropout_seed)
        length_B11 = norm.of(gradient).clamp_min(_TINY)[:, None, None]
        moved = norm.projected(
            tuple(n + smart.step_size * g / length_B11 for n, g in zip(noise, gradient, strict=True)), smart.epsilon
        )
        noise = tuple(torch.where(climbing_B11, new, old) for new, old in zip(moved, noise, strict=True))
        if smart.tolerance is not None:
            # Row by row, so that a row's noise does not depend on the others of its batch.
            climbing_B11 = climbing_B11 & (divergence_B > (1 + smart.tolerance) * before_B)[:, None, None]
            before_B = divergence_B
            if not climbing_B11.any():
                return Ascent(noise=noise, steps=step)
    return Ascent(noise=noise, steps=smart.steps)


def _slope(model: MultitaskModel, batch: Batch, noise: Noise, plain: Tensor, dropout_seed: int) -> tuple[Tensor, Noise]:
    """Return divergence_B, detached, and its gradient by the noise."""
    at = tuple(part.detach().requires_grad_() for part in noise)
    seed_dropout(dropout_seed, plain.device)
    with torch.autocast(plain.device.type, enabled=False):
        divergence_B = model.divergence(batch.task, model(batch.task, batch.sentences, at), plain)
    # By the noise alone: the parameters' gradients are not computed, and DDP's hooks are not called.
    return divergence_B.detach(), torch.autograd.grad(divergence_B.sum(), at)


def seed_dropout(seed: int, device: torch.device) -> None:
    """Let the next pass draw its dropout masks from a seed: passes of the same seed and shapes share their masks."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        # On the host alone: setting a GPU generator's whole state would wait for the GPU.
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
