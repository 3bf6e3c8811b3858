"""The interface of a searcher: which setting to try next, and what is learnt from one that ended.

Everything is minimised. Knows nothing of Ray, of metrics or of TrialConfig.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# M objectives


class Searcher(Protocol):
    """Chooses settings of a search space. Can be pickled at any time and goes on as if it had not been."""

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """Return a key to tell the result by and a setting; None when every setting has been tried."""
        ...

    def tell(self, key: int, losses: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Take the result of a setting.

        Args:
            key: from `ask`; results may come in any order.
            losses: `(M,)`, all minimised; None for a failed trial.
            violation: how far the constraints are exceeded; 0 is feasible.

        Raises:
            KeyError: nothing with this key is waiting for a result.
        """
        ...
