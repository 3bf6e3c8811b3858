"""What a task can be scored by: the names, directions and bounds of its metrics.

How they are computed is `training/scoring.py`'s. `f1.CLASS` stands for the F1 of one class, by its name or number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator

from mtbert_ray.deprecated import current_direction
from mtbert_ray.errors import did_you_mean

Direction = Annotated[Literal["maximize", "minimize"], BeforeValidator(current_direction)]
F1_OF_CLASS = "f1."
"""What the name of the F1 of one class begins with."""


@dataclass(frozen=True, kw_only=True)
class TaskMetric:
    """A way to score predictions against labels."""

    meaning: str
    direction: Direction = "maximize"
    worst: float | None = None
    """What no predictions can be worse than; none where there is no such value."""
    best: float | None = None
    """What no predictions can be better than."""
    is_correlation: bool = False
    """Whether (r + 1) / 2 stands for it in a leaderboard's mean."""
    ranks_probabilities: bool = False
    """Whether the predicted classes alone do not tell it."""


_F1_OF_CLASS = TaskMetric(meaning="F1 of the class", worst=0.0, best=1.0)

CLASSIFICATION_METRICS: dict[str, TaskMetric] = {
    "accuracy": TaskMetric(meaning="accuracy", worst=0.0, best=1.0),
    "f1_macro": TaskMetric(meaning="macro F1, the mean of the classes' F1", worst=0.0, best=1.0),
    "mcc": TaskMetric(meaning="Matthews correlation coefficient", worst=-1.0, best=1.0),
    "auroc": TaskMetric(
        meaning="area under the ROC curve; of several classes the mean of each against the rest",
        worst=0.0,
        best=1.0,
        ranks_probabilities=True,
    ),
}
REGRESSION_METRICS: dict[str, TaskMetric] = {
    "pearson": TaskMetric(meaning="Pearson correlation", worst=-1.0, best=1.0, is_correlation=True),
    "spearman": TaskMetric(meaning="Spearman rank correlation", worst=-1.0, best=1.0, is_correlation=True),
    "mae": TaskMetric(meaning="mean absolute error", direction="minimize", best=0.0),
    "rmse": TaskMetric(meaning="root mean squared error", direction="minimize", best=0.0),
}


def task_metric(name: str) -> TaskMetric:
    """Return the metric of a name that has been checked."""
    if name.startswith(F1_OF_CLASS):
        return _F1_OF_CLASS
    return (CLASSIFICATION_METRICS | REGRESSION_METRICS)[name]


def meaning_of(name: str, task: str) -> str:
    """Return what a task's metric is: "F1 of the class billing on the dev set of topic"."""
    return f"{metric_in_words(name)} on the dev set of {task}"


def metric_in_words(name: str) -> str:
    """Return what a metric is without its task: "F1 of the class billing"."""
    of_class = f" {name.removeprefix(F1_OF_CLASS)}" if name.startswith(F1_OF_CLASS) else ""
    return f"{task_metric(name).meaning}{of_class}"


def problem_with_metric(name: str, *, is_regression: bool, classes: Sequence[str] | None) -> str | None:
    """Return why a task cannot be scored by a metric, as the end of a message that begins with its key, or none.

    `classes` are the names of the task's classes, none where they are not known yet.
    """
    allowed = REGRESSION_METRICS if is_regression else CLASSIFICATION_METRICS
    if name in allowed:
        return None
    of_class = "" if is_regression else f", {F1_OF_CLASS}CLASS"
    if not is_regression and name.startswith(F1_OF_CLASS):
        label = name.removeprefix(F1_OF_CLASS)
        if not label:
            return f"has '{name}', which names no class; write {F1_OF_CLASS}CLASS"
        if classes is None or label in classes:
            return None
        return f"has '{name}', but there is no class '{label}'{did_you_mean(label, classes)} ({', '.join(classes)})"
    what = "a regression" if is_regression else "a classification"
    return f"has '{name}', no metric of {what}{did_you_mean(name, allowed)} ({', '.join(allowed)}{of_class})"


Undefined = Mapping[str, str]
"""Name of a metric that is null -> why, as `{"sim": "every label is 2.5", "dev_score": "sim has no pearson: ..."}`."""


def in_words(undefined: Undefined) -> Iterator[str]:
    """Yield `no dev_score: sim has no pearson: every label is 2.5`, and each other metric that this does not name."""
    if "dev_score" in undefined:
        yield f"no dev_score: {undefined['dev_score']}"
    for name, reason in undefined.items():
        task, dot, _ = name.partition(".")
        # A task's own score is in the reason of dev_score, and once more under the name of its metric.
        if dot and undefined.get(task) != reason:
            yield f"no {name}: {reason}"
