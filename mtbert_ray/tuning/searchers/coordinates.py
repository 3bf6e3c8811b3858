"""Settings as points: each number from 0 to 1 on its own scale, each choice an axis of its own."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.tuning.space.parameters import Choice, FloatRange, IntRange, Parameter

_CHOSEN = math.sqrt(0.5)
"""Puts two different choices at distance 1, as far as the ends of a range."""
_ABSENT = 0.5
"""Of a number whose conditions do not hold: the middle, where it says least."""


def coordinates(search: Mapping[str, Parameter], values: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return a setting as a point `(D,)`, the same D for all settings of a space."""
    point: list[float] = []
    for key, parameter in search.items():
        if isinstance(parameter, Choice):
            point += [_CHOSEN if key in values and values[key] == choice else 0.0 for choice in parameter.values]
        else:
            point.append(_place(parameter, values[key]) if key in values else _ABSENT)
    return np.array(point)


def _place(parameter: FloatRange | IntRange, value: float) -> float:
    log = parameter.log if isinstance(parameter, IntRange) else parameter.kind == "loguniform"
    low, high, here = (math.log(x) if log else float(x) for x in (parameter.low, parameter.high, value))
    return (here - low) / (high - low) if high > low else _ABSENT
