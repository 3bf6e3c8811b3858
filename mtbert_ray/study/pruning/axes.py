"""The objectives and constraints of a pruner, and their values in a trial's result."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import Metrics, Objective
from mtbert_ray.pareto.objectives import constraint_violation, to_losses
from mtbert_ray.task_metrics import Direction

# M objectives

Goal = Literal["max", "min"]
_DIRECTIONS: dict[object, Direction] = {"max": "maximize", "min": "minimize"}


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The metrics that a pruner reads."""

    objectives: dict[str, Objective]
    bounds: dict[str, Objective]
    """Constrained metrics that are no objectives."""

    @classmethod
    def of(cls, objectives: Mapping[str, Goal | Objective], constraints: Mapping[str, float]) -> Self:
        """Return the axes; an objective given as `max` or `min` has no reference.

        Raises:
            ConfigError: every mistake at once.
        """
        problems = _problems(objectives, constraints)
        if problems:
            raise ConfigError(problems)
        axes = {
            name: goal if isinstance(goal, Objective) else _axis(_DIRECTIONS[goal], constraints.get(name))
            for name, goal in objectives.items()
        }
        bounds = {name: _axis("minimize", bound) for name, bound in constraints.items() if name not in objectives}
        return cls(objectives=axes, bounds=bounds)

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric, the objectives first."""
        return (*self.objectives, *self.bounds)

    def values_in(self, result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
        """Return the metrics that a result has, NaN where they have no value.

        Raises:
            ConfigError: one is neither a number nor null.
        """
        values: dict[str, float] = {}
        for name in self.names:
            if prefix + name in result:
                value = result[prefix + name]
                try:
                    values[name] = math.nan if value is None else float(value)
                except (TypeError, ValueError):
                    raise ConfigError([f"{prefix}{name}: a trial reported {value!r}, which is not a number"]) from None
        return values

    def has_all(self, values: Metrics) -> bool:
        """Whether every metric is reported."""
        return all(name in values for name in self.names)

    def losses(self, metrics: Metrics) -> NDArray[np.float64] | None:
        """Return the losses `(M,)`; None where an objective has no value."""
        return to_losses(metrics, self.objectives)

    def violation(self, metrics: Metrics, *, still_open: Container[str] = ()) -> float:
        """Return how far the constraints are exceeded; infinite where a constrained metric has no value.

        Metrics of `still_open` may meet their constraints later: with a value they exceed none.
        """
        known = {name for name, value in metrics.items() if value is not None and math.isfinite(value)}
        axes = {**self.objectives, **self.bounds}
        return constraint_violation(
            metrics, {name: axis for name, axis in axes.items() if name not in still_open or name not in known}
        )

    def to_json(self) -> dict[str, Any]:
        """Return the axes as data, for comparison."""
        return {
            part: {name: objective.model_dump(mode="json") for name, objective in axes.items()}
            for part, axes in (("objectives", self.objectives), ("bounds", self.bounds))
        }


def _axis(direction: Direction, constraint: float | None) -> Objective:
    """Return an objective whose reference is infinitely bad."""
    worst = math.inf if direction == "minimize" else -math.inf
    return Objective(direction=direction, reference=worst, constraint=constraint)


def _problems(objectives: Mapping[str, Goal | Objective], constraints: Mapping[str, float]) -> list[str]:
    problems = [] if objectives else ["objectives: none is given; name at least one metric, as {'accuracy': 'max'}"]
    for name, goal in objectives.items():
        if not isinstance(goal, Objective) and goal not in _DIRECTIONS:
            problems.append(f"objectives: {name} has {goal!r}; it can be 'max', 'min' or an Objective")
        if isinstance(goal, Objective) and name in constraints:
            problems.append(
                f"constraints: {name} is given as an Objective, which has its own `constraint`; set it there"
            )
    for name, bound in constraints.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            problems.append(f"constraints: {name} has {bound!r}; it must be a finite number")
    return problems
