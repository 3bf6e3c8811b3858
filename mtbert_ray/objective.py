"""What a sweep optimizes: the axes of its Pareto front, each a metric with a direction, a reference and bounds."""

from collections.abc import Mapping

from pydantic import model_validator

from mtbert_ray.deprecated import KEYS, renaming
from mtbert_ray.schema import Schema
from mtbert_ray.task_metrics import Direction


class Objective(Schema):
    """One axis of the Pareto front."""

    direction: Direction
    """Which way is better."""
    reference: float
    """Coordinate of the hypervolume's reference point, in the metric's unit: the worst value still worth anything."""
    constraint: float | None = None
    """A hard bound in the metric's unit: a trial that is worse is infeasible and never on the front."""
    attainable: float | None = None
    """The best value that any trial can hope for, in the metric's unit; none takes the metric's own bound, as 1 for a
    score. A trial whose costs rule out the front even with this ends at its probe."""
    fallback: str | None = None
    """The metric taken in its place when trials have no GPU, in the same unit and direction."""

    _old_keys = model_validator(mode="before")(renaming(KEYS))

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> "Objective":
        if self.attainable is not None:
            best, worst = self.attainable, self.reference
            if not (best < worst if self.direction == "minimize" else best > worst):
                raise ValueError(f"attainable {best} is no better than the reference {worst}: no trial would count")
        if self.constraint is None:
            return self
        beyond = self.constraint > self.reference if self.direction == "minimize" else self.constraint < self.reference
        if beyond:
            raise ValueError(
                f"constraint {self.constraint} is looser than the reference {self.reference}: no trial between them "
                "would count; set the reference at the constraint or beyond"
            )
        return self


Objectives = Mapping[str, Objective]
"""Metric name -> objective, in the order of the YAML, which is the order of the axes."""
