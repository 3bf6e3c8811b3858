"""Normal noise that belongs to a row and not to a batch: the same on whichever rank and in whichever batch it comes.

A counter-based generator: a number is a hash of its key and place, drawn where it is needed without any state.
"""

# B rows, L tokens, E width of a token's embedding

import math
from hashlib import blake2b

import torch
from torch import Tensor

_BITS = 64
# Of SplitMix64 (Steele, Lea & Flood 2014), as signed numbers: torch's int64 wraps around as uint64 does.
_STEP = 0x9E3779B97F4A7C15 - 2**_BITS
_MIXERS = ((30, 0xBF58476D1CE4E5B9 - 2**_BITS), (27, 0x94D049BB133111EB - 2**_BITS))
_LAST_SHIFT = 31


def normal_noise(key: str, rows_B: Tensor, *, length: int, width: int) -> Tensor:
    """Return standard normal numbers of shape (B, L, E), float32, on the device of `rows_B`.

    A number depends on the key, its row, its token's place and its column alone.

    Args:
        key: names the draw, as "seed 0, epoch 3, sst".
        rows_B: int64, numbers of the rows in their split.
        length: L.
        width: E.
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
