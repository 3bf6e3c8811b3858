"""What a task is: its name, its kind, its metric, and where its rows are when they are not of a known data set.

A user's own task of any of the four kinds is declared in YAML alone; `sst`, `quora` and `sts` are known by name.
"""

import math
import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from mtbert_ray.errors import key_text
from mtbert_ray.schema import Schema, TaskName
from mtbert_ray.task_metrics import problem_with_metric, task_metric
from mtbert_ray.task_source import HubSource, Source, TableSource


class TaskKind(StrEnum):
    """What a task takes and what it predicts."""

    CLASSIFICATION = "classification"  # one sentence -> a class
    REGRESSION = "regression"  # one sentence -> a number
    PAIR_CLASSIFICATION = "pair_classification"  # two sentences -> a class
    PAIR_REGRESSION = "pair_regression"  # two sentences -> a number

    @property
    def is_pair(self) -> bool:
        """Whether an example has two sentences."""
        return self in (TaskKind.PAIR_CLASSIFICATION, TaskKind.PAIR_REGRESSION)

    @property
    def is_regression(self) -> bool:
        """Whether a number is predicted, and not a class."""
        return self in (TaskKind.REGRESSION, TaskKind.PAIR_REGRESSION)


def _as_names(value: object) -> object:
    """Read numbers among the names of classes as text."""
    if isinstance(value, list | tuple):
        if wrong := [item for item in value if isinstance(item, bool) or not isinstance(item, str | int)]:
            got = key_text(wrong[0])
            raise ValueError(f"has {got}; a class's name must be a text (in quotes) or a whole number")
        names = tuple(str(item).strip() for item in value)
        if "" in names:
            raise ValueError("has an empty name; every class needs one")
        return names
    return value


MAX_NUM_CLASSES = 100_000
"""More are no classes: mostly a number of rows."""
_MAX_LABEL = 1e15
"""The squared error of larger labels leaves little room in float32."""
_STEPS_OF_RANGE = 1000
"""So many float32 numbers at least must lie in a regression's range, since models compute in float32."""


class TaskSpec(Schema):
    """One task of the multitask model."""

    name: TaskName
    """Names the head, the metric and the columns of the report."""
    kind: TaskKind
    """One sentence or a pair, and a class or a number."""
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_as_names)] = Field(default=None, min_length=2)
    """Names of the classes, in the order of their numbers from 0. None with `num_classes`: the labels are numbers.
    None without: the labels of the training rows, sorted (`data.classes.with_classes` finds them)."""
    num_classes: int | None = Field(default=None, ge=2, le=MAX_NUM_CLASSES)
    """Number of classes; follows from `classes`. None for a regression."""
    label_range: tuple[FiniteFloat, FiniteFloat] | None = None
    """Lowest and highest label of a regression; none for a classification."""
    metrics: tuple[str, ...] = ()
    """What it is scored by; the first one is the task's score, which counts in `dev_score`. Of a classification any of
    accuracy, f1_macro, f1.CLASS, mcc, auroc; of a regression any of pearson, spearman, mae, rmse. None of them means
    accuracy, or pearson."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Of its score in `dev_score` and `leaderboard_score`, which are weighted means."""
    template: str | tuple[str, str] | None = None
    """What the encoder reads in place of a sentence, as `query: {sentence}`; of a pair one for both sentences or two.
    None takes the sentence as it is."""
    source: Source | None = None
    """Where the rows are; none takes the data set named by `data.source`, which knows sst, quora and sts."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """What it is scored by, the metric of its score first."""
        return self.metrics or (("pearson",) if self.kind.is_regression else ("accuracy",))

    @property
    def metric(self) -> str:
        """The metric of its score, which counts in `dev_score`."""
        return self.metric_names[0]

    @property
    def ranks_probabilities(self) -> bool:
        """Whether one of its metrics needs the probabilities of the classes."""
        return any(task_metric(name).ranks_probabilities for name in self.metric_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its classes are called, in the order of their numbers: without `classes` by these numbers."""
        return self.classes or tuple(str(number) for number in range(self.num_classes or 0))

    @property
    def knows_its_classes(self) -> bool:
        """Whether there is nothing to find out from the training rows."""
        return self.kind.is_regression or self.num_classes is not None

    @property
    def templates(self) -> tuple[str, str]:
        """The template of each sentence of a pair; the first is that of a single sentence."""
        template = "{sentence}" if self.template is None else self.template
        return (template, template) if isinstance(template, str) else template

    def with_absolute_paths(self) -> "TaskSpec":
        """Return the same task with its local files by their absolute paths."""
        match self.source:
            case TableSource(train=train, dev=dev, test=test) as table:
                files = {"train": absolute(train), "dev": dev and absolute(dev), "test": test and absolute(test)}
                return self.model_copy(update={"source": table.model_copy(update=files)})
            case HubSource(dataset=dataset) as hub:
                found = hub.model_copy(update={"dataset": absolute_if_folder(dataset)})
                return self.model_copy(update={"source": found})
        return self

    @model_validator(mode="before")
    @classmethod
    def _count_the_classes(cls, content: Any) -> Any:  # noqa: ANN401
        if isinstance(content, Mapping) and content.get("num_classes") is None:
            classes = content.get("classes")
            if isinstance(classes, list | tuple) and len(classes) >= 2:
                return {**content, "num_classes": len(classes)}
        return content

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> Self:
        if self.kind.is_regression:
            if self.num_classes is not None or self.label_range is None:
                raise ValueError(f"a {self.kind} needs label_range: [lowest, highest] and no classes or num_classes")
            if not self.label_range[0] < self.label_range[1]:
                raise ValueError(f"label_range has {list(self.label_range)}; must be [lowest, highest]")
            _check_precision(*self.label_range)
        elif self.label_range is not None:
            raise ValueError(f"a {self.kind} has classes and no label_range")
        elif self.num_classes is None and self.source is None:
            raise ValueError(f"a {self.kind} without a source needs num_classes")
        if self.classes is not None:
            if len(self.classes) != self.num_classes:
                raise ValueError(f"num_classes has {self.num_classes}, but classes names {len(self.classes)}")
            if twice := sorted({name for name in self.classes if self.classes.count(name) > 1}):
                raise ValueError(f"classes has {', '.join(twice)} twice")
        return self

    @model_validator(mode="after")
    def _metrics_fit_the_kind(self) -> Self:
        known = self.class_names if self.knows_its_classes else None
        for place, name in enumerate(self.metrics):
            problem = problem_with_metric(name, is_regression=self.kind.is_regression, classes=known)
            if problem is not None:
                raise ValueError(f"metrics.{place} {problem}")
            if name in self.metrics[:place]:
                raise ValueError(f"metrics.{place} has '{name}' twice")
        if task_metric(self.metric).direction == "minimize":
            raise ValueError(
                f"metrics.0 has '{self.metric}', of which less is better, so it cannot count in dev_score; "
                "put pearson or spearman first"
            )
        return self

    @model_validator(mode="after")
    def _templates_hold_the_sentence(self) -> Self:
        if isinstance(self.template, tuple) and not self.kind.is_pair:
            raise ValueError(f"template has two texts, but a {self.kind} has one sentence; give one text")
        for template in self.templates:
            if template.count("{sentence}") != 1:
                raise ValueError(f"template has '{template}'; must hold {{sentence}} once, as 'query: {{sentence}}'")
        return self

    @model_validator(mode="after")
    def _source_fits_the_kind(self) -> Self:
        if self.source is None:
            if self.name not in KNOWN_TASK_NAMES:
                known = ", ".join(KNOWN_TASK_NAMES)
                raise ValueError(f"task '{self.name}' needs a source; only {known} are known by name")
        elif (self.source.columns.sentence2 is not None) != self.kind.is_pair:
            wanted = "must name" if self.kind.is_pair else "must not name"
            raise ValueError(f"source.columns {wanted} sentence2 for a {self.kind}")
        return self


def _check_precision(lowest: float, highest: float) -> None:
    """Refuse a range in which float32 cannot tell labels apart, or whose errors it cannot hold."""
    size = max(abs(lowest), abs(highest))
    if size > _MAX_LABEL:
        raise ValueError(
            f"label_range has [{lowest:g}, {highest:g}]; must stay within {_MAX_LABEL:g}: rescale the labels"
        )
    step = math.ldexp(1.0, math.frexp(size)[1] - 24)
    if highest - lowest < _STEPS_OF_RANGE * step:
        raise ValueError(
            f"label_range has [{lowest:.15g}, {highest:.15g}], too narrow for its size: float32 has steps of {step:g} "
            f"there; subtract {lowest:.15g} from the labels"
        )


def absolute(path: str) -> str:
    """Return a path from the root, `~` replaced; it need not exist."""
    # Path.resolve would follow links, and Path.expanduser fails for a user that there is not.
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111


def absolute_if_folder(name: str) -> str:
    """Return the absolute path of a local folder, and any other name, as one on a hub, as it is."""
    path = absolute(name)
    return path if os.path.isdir(path) else name  # noqa: PTH112  # Path.is_dir fails for a name that is too long.


KNOWN_TASK_NAMES = ("sst", "quora", "sts")

SST = TaskSpec(name="sst", kind=TaskKind.CLASSIFICATION, num_classes=5)
"""Stanford Sentiment Treebank: a film review's sentence, five grades."""
QUORA = TaskSpec(name="quora", kind=TaskKind.PAIR_CLASSIFICATION, num_classes=2)
"""Quora question pairs (PARA): does the pair ask the same?"""
STS = TaskSpec(name="sts", kind=TaskKind.PAIR_REGRESSION, label_range=(0.0, 5.0))
"""Semantic textual similarity, 0 to 5."""

KNOWN_TASKS = {task.name: task for task in (SST, QUORA, STS)}


def _by_name(value: object) -> object:
    """Let YAML name `sst` in place of the whole specification."""
    if isinstance(value, str):
        if value not in KNOWN_TASKS:
            raise ValueError(f"unknown task '{value}' (known by name: {', '.join(KNOWN_TASKS)}; others need a mapping)")
        return KNOWN_TASKS[value]
    if not isinstance(value, Mapping | TaskSpec):
        raise ValueError(f"must be a known name ({', '.join(KNOWN_TASKS)}) or a mapping with name, kind and source")
    return value


TaskOrName = Annotated[TaskSpec, BeforeValidator(_by_name)]
