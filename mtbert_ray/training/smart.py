"""SMART's adversarial noise (Jiang et al. 2020), drawn for each row by itself and moved uphill.

The draws come from a counter-based generator: a number is a hash of its key and place, without any state. So a row's
noise is the same on whichever rank and in whichever batch it comes.
"""

# B rows, L tokens, E width of a token's embedding

import math
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from mtbert_ray.config import SmartConfig
from mtbert_ray.data.batching import Batch
from mtbert_ray.models.multitask import MultitaskModel

_BITS = 64
# Of SplitMix64 (Steele, Lea & Flood 2014), as signed numbers: torch's int64 wraps around as uint64 does.
_STEP = 0x9E3779B97F4A7C15 - 2**_BITS
_MIXERS = ((30, 0xBF58476D1CE4E5B9 - 2**_BITS), (27, 0x94D049BB133111EB - 2**_BITS))
_LAST_SHIFT = 31


def normal_noise(key: str, rows_B: Tensor, *, length: int, width: int) -> Tensor:
    """Return standard normal numbers of shape (B, L, E), float32, on the device of `rows_B`.

    A number depends on the key, its row, its token's place and its column alone. The key names the draw, as "seed 0,
    epoch 3, sst". `rows_B`, int64, are the numbers of the rows in their split.
    """
    start = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)
    row_keys_B = _mixed(start + rows_B * _STEP)
    places = torch.arange(length * width, device=rows_B.device)
    bits = _mixed(row_keys_B[:, None] + places * _STEP)
    # Two uniform numbers inside (0, 1) from the upper and the lower half, one normal number from both (Box & Muller).
    upper = (_shifted(bits, 32).float() + 0.5) * 2.0**-32
    lower = ((bits & 0xFFFFFFFF).float() + 0.5) * 2.0**-32
    return (torch.sqrt(-2.0 * torch.log(upper)) * torch.cos(2.0 * math.pi * lower)).view(len(rows_B), length, width)


def _mixed(bits: Tensor) -> Tensor:
    for shift, factor in _MIXERS:
        bits = (bits ^ _shifted(bits, shift)) * factor
    return bits ^ _shifted(bits, _LAST_SHIFT)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right with zeros coming in, where int64's own shift repeats the sign."""
    return (bits >> places) & ((1 << (_BITS - places)) - 1)


Noise = tuple[Tensor, ...]
"""(B, L, E) for each sequence of a row: one, or two for a pair that is encoded separately."""

_TINY = 1e-30
"""Keeps an all-zero gradient at zero when it is divided by its norm."""


def norm_of(noise: Noise, norm: str) -> Tensor:
    """Return norm_B of each row's noise over all its sequences, tokens and columns: `inf`, or `l2`."""
    if norm == "inf":
        return torch.stack([part.abs().amax(dim=(1, 2)) for part in noise]).amax(dim=0)
    return torch.stack([part.square().sum(dim=(1, 2)) for part in noise]).sum(dim=0).sqrt()


def projected(noise: Noise, norm: str, epsilon: float) -> Noise:
    """Return the nearest noise whose norm is at most epsilon."""
    if norm == "inf":
        return tuple(part.clamp(-epsilon, epsilon) for part in noise)
    factor_B11 = (epsilon / norm_of(noise, norm).clamp_min(_TINY)).clamp(max=1.0)[:, None, None]
    return tuple(part * factor_B11 for part in noise)


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """The result of the ascent."""

    noise: Noise
    """Detached."""
    steps: int
    """Taken: k, or fewer where `tolerance` ended the ascent of every row."""


def initial_noise(smart: SmartConfig, model: MultitaskModel, batch: Batch, *, key: str) -> Noise:
    """Return normal noise of the configured variance within epsilon, none on padding.

    The model's parameters decide width and type. The batch's rows decide the noise together with the key, so that any
    split of a batch gets the same.
    """
    table = model.encoder.word_embeddings.weight
    parts = []
    for place, tokens in enumerate(batch.sentences):
        mask_BL = tokens["attention_mask"]
        normal = normal_noise(f"{key}, sequence {place}", batch.rows, length=mask_BL.shape[1], width=table.shape[1])
        parts.append(smart.noise_variance**0.5 * normal.to(table.dtype) * mask_BL.unsqueeze(-1))
    return projected(tuple(parts), smart.norm, smart.epsilon)


def ascend(
    smart: SmartConfig, model: MultitaskModel, batch: Batch, noise: Noise, *, plain: Tensor, dropout_seed: int
) -> Ascent:
    """Move the noise uphill on the divergence between the perturbed and the plain output.

    k times: noise = projection onto the ball of epsilon of noise + step_size * gradient / |gradient|, each row by
    itself. In the parameters' own type, never bfloat16, whose rounding hides the gradient of a small noise. No gradient
    is left on the parameters. The initial noise is within epsilon. `plain` has the logits without noise, detached, in
    the parameters' own type; the dropout masks of that pass were drawn from `dropout_seed`, so that only the noise
    differs.
    """
    climbing_B11 = torch.ones(len(batch.rows), 1, 1, dtype=torch.bool, device=plain.device)
    before_B = torch.zeros_like(batch.weights, dtype=plain.dtype)
    for step in range(1, smart.steps + 1):
        divergence_B, gradient = _slope(model, batch, noise, plain, dropout_seed)
        length_B11 = norm_of(gradient, smart.norm).clamp_min(_TINY)[:, None, None]
        moved = tuple(n + smart.step_size * g / length_B11 for n, g in zip(noise, gradient, strict=True))
        moved = projected(moved, smart.norm, smart.epsilon)
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
    """Seed the dropout masks of the next pass: passes of the same seed and shapes share their masks."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        # On the host alone: setting a GPU generator's whole state would wait for the GPU.
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
