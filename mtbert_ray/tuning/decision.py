"""What became of a trial at a rung, as data and in words. Knows nothing of how it was decided."""

from dataclasses import dataclass
from typing import Literal

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
]
_STOPS = frozenset({"behind", "infeasible", "no_values"})
_MAX_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a trial goes on, and why."""

    trial: str
    reason: Reason
    resource: int
    """What the trial had spent, as epochs."""
    rung: int | None = None
    """The rung it was judged at; none between rungs."""
    num_others: int = 0
    """Trials that were at the rung before it."""
    priority: float | None = None
    """Its place among them, lower is better: its Pareto rank, 0 on the front, or its loss when there is but one."""
    cut: float | None = None
    """The worst priority that goes on."""
    violation: float = 0.0
    """How far it exceeds its constraints."""
    dominated_by: tuple[str, ...] = ()
    """The trials at the rung that dominate it, in the order in which they came."""

    @property
    def stop(self) -> bool:
        """Whether the trial ends here."""
        return self.reason in _STOPS

    def in_words(self, resource_name: str = "epoch") -> str:
        """Return the decision as a line for people: `epoch 3: dominated by t004, t017; rank 2, the cut is 1`."""
        where = f"{resource_name} {self.resource}"
        if self.reason in ("between_rungs", "few_results"):
            return f"{where}: goes on, nothing to compare with"
        if self.reason == "no_values":
            return f"{where}: an objective has no value"
        if self.reason == "infeasible":
            return f"{where}: exceeds its constraints by {self.violation:.3g}"
        place = f"priority {self.priority:.4g}, the cut is {self.cut:.4g}"
        if self.reason == "behind":
            more = len(self.dominated_by) - _MAX_NAMED
            names = ", ".join(self.dominated_by[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
            return f"{where}: dominated by {names}; {place}" if names else f"{where}: {place}"
        why = {
            "within_cut": "good enough",
            "on_front": "dominated by none",
            "later_bracket": "its bracket starts later",
            "runs_to_end": "one of those that always run to the end",
        }[self.reason]
        return f"{where}: goes on, {why}; {place}"
