"""The interface of a searcher: which setting to try next, and what is learnt from one that runs or ended.

Everything is minimised. Knows nothing of Ray, of metrics or of TrialConfig.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# M objectives


class Searcher(Protocol):
    """Chooses settings of a search space. Can be pickled at any time and goes on as if it had not been."""

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key to tell the result by and a setting; None when every setting has been tried."""
        ...

    def open(self, values: Mapping[str, Any]) -> int:
        """Return a key for a setting that comes from elsewhere, as if it had been asked for.

        For settings that the user wants tried first, and for trials of an earlier sweep. It is not suggested again.

        Args:
            values: a setting of this space, whole.
        """
        ...

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a setting that was tried to the end, or that cannot be.

        Args:
            key: from `ask` or `open`; results may come in any order.
            losses: `(M,)`, all minimised; None for a trial that failed, of which what it told before counts no more, or
                one that was ended for breaking a constraint, whose losses nobody knows.
            violation: how far the constraints are exceeded; 0 is feasible, or failed where there are no losses;
                infinite where it is not known how far, as for one that ran out of memory.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...

    def tell_progress(
        self, key: int, resource: float, losses: NDArray[np.float64] | None, violation: float = 0.0
    ) -> None:
        """Take what a setting has reached so far; never to be taken for the result of a full run.

        Args:
            key: from `ask`.
            resource: how much it was trained, as epochs; results are comparable at the same resource only.
            losses: `(M,)` as of `tell`.
            violation: as of `tell`.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...

    def tell_stopped(self, key: int) -> None:
        """Take note that a setting was stopped early, in place of `tell`.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...
