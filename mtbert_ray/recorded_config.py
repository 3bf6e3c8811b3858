"""What reports and simulations look for in the config of a recorded trial and in a recorded search space.

Those of earlier versions lack keys and hold others, so only what is read is checked, and nothing is changed.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mtbert_ray.mistakes import violations_in
from mtbert_ray.schema import MAX_REPEATS, MAX_STEPS, TaskName
from mtbert_ray.task_metrics import problem_with_metric
from mtbert_ray.tasks import TaskKind, TaskSpec


class _Recorded(BaseModel):
    """Knows some of the keys; the others are let through unseen."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Task(_Recorded):
    name: TaskName
    kind: Annotated[TaskKind | None, Field(strict=False)] = None
    metrics: list[str] | None = None

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        is_regression = self.kind is not None and self.kind.is_regression
        for name in self.metrics or ():
            if problem := problem_with_metric(name, is_regression=is_regression, classes=None):
                raise ValueError(f"metrics {problem}")
        return self


_Rows = int | dict[str, int] | None


class _Data(_Recorded):
    max_train_rows: _Rows = None
    max_dev_rows: _Rows = None
    train_files: dict[str, str] = {}


class _Profile(_Recorded):
    steps: int = 0


class _Config(_Recorded):
    experiment: str | None = None
    encoder: str = ""
    init_from: str | None = None
    hidden_layers: int | dict[str, int] = 1
    tasks: list[_Task]
    epochs: int = Field(ge=1, le=MAX_STEPS)
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: _Data = _Data()
    profile: _Profile = _Profile()


class _Report(_Recorded):
    keep_share: float = Field(default=0.95, gt=0, lt=1)
    task_loss: float = Field(default=0.05, ge=0, allow_inf_nan=False)


class _Space(_Recorded):
    question: str | None = None
    paper_table: int | None = None
    fixed: dict[str, Any] | None = None
    repeats: int = Field(default=0, ge=0, le=MAX_REPEATS)
    report: _Report = _Report()


def recorded_metric(task: Mapping[str, Any]) -> str | None:
    """Return the metric of a recorded task's score; None where its kind is not told, as in earlier versions."""
    if not task.get("kind"):
        return None
    # Not validated: a task of an earlier version may not be valid today.
    metrics = tuple(task.get("metrics") or ())
    return TaskSpec.model_construct(name=task["name"], kind=TaskKind(task["kind"]), metrics=metrics).metric


def has_recorded_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's config as it is; raises a ValueError where a report could not read it."""
    return _checked(_Config, config)


def has_recorded_space(space: dict[str, Any]) -> dict[str, Any]:
    """Return a search space as it is; raises a ValueError where a report could not read it."""
    return _checked(_Space, space)


def _checked(model: type[_Recorded], content: dict[str, Any]) -> dict[str, Any]:
    try:
        model.model_validate(content)
    except ValidationError as error:
        raise ValueError(violations_in(error, model, content)[0].message()) from None
    return content
