"""Random search and grid search: what the results are makes no difference to them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.study.search.base import MAX_REDRAWS, Unseen
from mtbert_ray.study.space.model import SearchSpace, config_key
from mtbert_ray.study.space.parameters import RandomSuggest


class Unguided:
    """Knows which keys wait for a result, and learns nothing from any."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: set[int] = set()

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take a result, which changes nothing."""
        self._waiting.remove(key)

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take an intermediate result, which changes nothing."""
        if key not in self._waiting:
            raise KeyError(key)

    def tell_stopped(self, key: int) -> None:
        """Take note of an early end, which changes nothing."""
        self._waiting.remove(key)

    def new_key(self) -> int:
        """Return a key that waits for a result."""
        key, self._next = self._next, self._next + 1
        self._waiting.add(key)
        return key


class RandomSearcher(Unguided):
    """Draws every config independently: the baseline, and the one that learns nothing from a crash.

    Args:
        space: what to draw from; its seed seeds the draws.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self._space = space
        rng = np.random.default_rng(space.seed)
        self._suggest = RandomSuggest(rng)
        self._unseen = Unseen(space, rng)

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a random config."""
        for _ in range(MAX_REDRAWS):
            values = self._space.sample(self._suggest)
            if self._unseen.add(values):
                return self.new_key(), values
        left = self._unseen.one_left()
        if left is None:
            return None
        return self.open(left), left

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a config from elsewhere."""
        self._unseen.add(values)
        return self.new_key()


class GridSearcher(Unguided):
    """Goes through every config in the order of the YAML, or through an even random share of `trials` of them.

    Args:
        space: a space without ranges.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.left = list(space.grid())
        if space.trials is not None and space.trials < len(self.left):
            # The first N of the grid would leave whole values of the first keys out.
            chosen = np.random.default_rng(space.seed).choice(len(self.left), space.trials, replace=False)
            self.left = [self.left[index] for index in sorted(chosen)]

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and the next config."""
        if not self.left:
            return None
        return self.new_key(), self.left.pop(0)

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a config from elsewhere, which what remains then goes without."""
        opened = config_key(values)
        self.left = [config for config in self.left if config_key(config) != opened]
        return self.new_key()
