"""The settings that a user wants tried first, whole. Knows nothing of how the others are chosen."""

from typing import Any

import numpy as np

from mtbert_ray.study.search.base import Unseen
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import RandomSuggest
from mtbert_ray.study.space.points_to_evaluate import Given, complete

_STREAM = 1
"""Beside the seed, so that these draws are not those that the searcher begins with."""
_MAX_DRAWS = 1000
"""Until it is taken for sure that an entry allows nothing new."""


def points_to_evaluate(space: SearchSpace) -> list[dict[str, Any]]:
    """Return the settings of `points_to_evaluate`, in order, all different, with the keys that are left out drawn.

    The same for the same space and seed. An entry that allows no setting beside those before it is left out: in a
    finite space, where it leaves keys out and others have taken all that fits.
    """
    rng = np.random.default_rng((space.seed, _STREAM))
    unseen = Unseen(space, rng)
    points = []
    for given in space.points_to_evaluate:
        values = _new(space, given, unseen, rng)
        if values is not None:
            unseen.add(values)
            points.append(values)
    return points


def _new(space: SearchSpace, given: Given, unseen: Unseen, rng: np.random.Generator) -> dict[str, Any] | None:
    for _ in range(_MAX_DRAWS):
        values, is_only_one = complete(space, given, RandomSuggest(rng))
        if not unseen.knows(values):
            return values
        if is_only_one:
            break
    return None
