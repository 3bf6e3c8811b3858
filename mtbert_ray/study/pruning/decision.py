"""What a pruner decides of a trial and why, as data and in words; and the interface of a pruner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, Self

from mtbert_ray.metrics import Metrics

Reason = Literal[
    "between_rungs",
    "few_results",
    "within_cut",
    "on_front",
    "later_bracket",
    "runs_to_end",
    "behind",
    "infeasible",
    "no_values",
    "constraint",
    "beyond_reference",
    "dominated_on_cost",
    "remeasured",
]
_STOPS = frozenset(
    {"behind", "infeasible", "no_values", "constraint", "beyond_reference", "dominated_on_cost", "remeasured"}
)
_COSTS_BEYOND_A_BOUND = frozenset({"constraint", "beyond_reference"})
_WHY_IT_CONTINUES = {
    "within_cut": "good enough",
    "on_front": "dominated by none",
    "later_bracket": "its bracket starts later",
    "runs_to_end": "one of those that always run to the end",
}
_MAX_NAMED = 3
MAX_DOMINATING = 10
"""Names kept in a decision: all of them would grow with the square of the trials."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a trial continues, and why."""

    trial: str
    reason: Reason
    resource: float
    """Epochs done."""
    at_probe: bool = False
    """Whether the trial had reported projected costs only."""
    rung: int | None = None
    """None between rungs."""
    num_others: int = 0
    """Trials that reached the rung before it."""
    num_objectives: int = 1
    priority: float | None = None
    """Lower is better: its Pareto rank, 0 on the front, or its loss where there is one objective."""
    cut: float | None = None
    """The worst priority that continues."""
    violation: float = 0.0
    """How far it exceeds its constraints, as shares of the bounds."""
    dominated_by: tuple[str, ...] = ()
    """The first `MAX_DOMINATING` trials that dominate it."""
    num_dominating: int = 0
    cause: str = ""
    """In words, of the cost pruner only."""

    @property
    def stop(self) -> bool:
        """Whether the trial stops."""
        return self.reason in _STOPS

    @property
    def kind(self) -> Literal["rung", "probe", "constraint", "remeasured"]:
        """What stopped the trial: its rank at a rung, its costs at the probe, a bound; or it was measured alone."""
        assert self.stop, f"{self.trial} continues"
        if self.reason == "remeasured":
            return "remeasured"
        if self.at_probe:
            return "probe"
        return "constraint" if self.reason in _COSTS_BEYOND_A_BOUND else "rung"

    def in_words(self, resource_name: str = "epoch") -> str:
        """Return a line, as `epoch 3: dominated on both objectives by t004, t017; ...`."""
        return f"{'probe' if self.at_probe else f'{resource_name} {self.resource:.10g}'}: {self._what()}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(**{**state, "dominated_by": tuple(state["dominated_by"])})

    def _what(self) -> str:
        if self.cause:
            return self.cause
        if self.reason == "between_rungs":
            return "continues, no rung here"
        if self.reason == "few_results":
            return f"continues, {self.num_others or 'none'} at this rung to compare with"
        if self.reason == "no_values":
            return "an objective or a constrained metric has no value"
        if self.reason == "remeasured":
            return "ran alone, for its costs"
        if self.reason == "infeasible":
            if math.isinf(self.violation):
                return "a metric under a constraint has no value"
            return f"exceeds its constraints by {self.violation:.3g}"
        what = self._behind() if self.reason == "behind" else f"continues, {_WHY_IT_CONTINUES[self.reason]}"
        # With one objective the priority is a loss, whose sign may be flipped.
        return what if self.num_objectives == 1 else f"{what}; priority {self.priority:.4g}, the cut is {self.cut:.4g}"

    def _behind(self) -> str:
        if not self.dominated_by:
            return f"behind most of the {self.num_others} others at this rung, though none dominates it"
        names = some_of(self.dominated_by, self.num_dominating)
        if self.num_objectives == 1:
            return f"worse than {names}, of {self.num_others} at this rung"
        both = "both" if self.num_objectives == 2 else f"all {self.num_objectives}"
        return f"dominated on {both} objectives by {names}"


def some_of(names: Sequence[str], number: int) -> str:
    """Return `t004, t017, t018 and 2 more`."""
    more = number - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


class Pruner(Protocol):
    """Decides which trials end early. What it knows follows from the trials alone."""

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Trial -> why it was stopped."""
        ...

    def prune(self, trial: str, resource: float, metrics: Metrics) -> Decision | None:
        """Return why a trial must end, or None for one that continues.

        Args:
            trial: its id.
            resource: its epochs done; 0 at the probe.
            metrics: projected to its end.
        """
        ...

    def end(self, trial: str, resource: float, metrics: Metrics, *, finished: bool) -> None:
        """Take the last result of a trial that ended by itself (`finished`) or was cut off; nothing is decided."""
        ...

    def overrule(self, trial: str) -> None:
        """Take back a stop: the trial continued, as one of a journal whose rule was another."""
        ...

    def forget(self, trial: str) -> None:
        """Take back all results of a trial; decisions about others stand."""
        ...
