"""Random search and grid search, which learn nothing from results."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.study.search.base import Unseen
from mtbert_ray.study.space.model import SearchSpace, config_key


class Unguided:
    """Counts keys and learns nothing."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: set[int] = set()

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Forget the key."""
        self._waiting.remove(key)

    def tell_intermediate(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Check the key."""
        if key not in self._waiting:
            raise KeyError(key)

    def tell_stopped(self, key: int) -> None:
        """Forget the key."""
        self._waiting.remove(key)

    def new_key(self) -> int:
        """Return a key for a trial that starts."""
        key, self._next = self._next, self._next + 1
        self._waiting.add(key)
        return key


class RandomSearcher(Unguided):
    """Draws every config independently."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self._unseen = Unseen(space, np.random.default_rng(space.seed))

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key and a random config."""
        values = self._unseen.random()
        return None if values is None else (self.open(values), values)

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a given config."""
        self._unseen.add(values)
        return self.new_key()


class GridSearcher(Unguided):
    """Every config in the order of the YAML, or an even random sample of `trials` of them."""

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
        """Return a key for a given config and take it off the grid."""
        opened = config_key(values)
        self.left = [config for config in self.left if config_key(config) != opened]
        return self.new_key()
