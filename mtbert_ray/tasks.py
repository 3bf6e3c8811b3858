"""What a task is: its name, its kind, its metric, and where its rows are when they are not of a known data set.

A user's own task of any of the three kinds is declared in YAML alone; `sst`, `quora` and `sts` are known by name.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from mtbert_ray.schema import Schema


class TaskKind(StrEnum):
    """What a task takes and what it predicts."""

    CLASSIFICATION = "classification"  # one sentence -> a class
    PAIR_CLASSIFICATION = "pair_classification"  # two sentences -> a class
    PAIR_REGRESSION = "pair_regression"  # two sentences -> a number

    @property
    def is_pair(self) -> bool:
        """Whether an example has two sentences."""
        return self is not TaskKind.CLASSIFICATION

    @property
    def metric(self) -> Literal["accuracy", "pearson"]:
        """The score of a task of this kind: accuracy, or Pearson correlation for a regression."""
        return "pearson" if self is TaskKind.PAIR_REGRESSION else "accuracy"


class Columns(Schema):
    """Which column of a table holds what."""

    sentence1: str = "sentence1"
    """The sentence, or the first of a pair."""
    sentence2: str | None = None
    """The second sentence of a pair; none for `classification`."""
    label: str = "label"
    """The class (0 to num_classes - 1) or the number. A row with an empty label is left out of training and dev."""
    id: str | None = None
    """An identifier carried into the prediction files; none numbers the rows."""


class TableSource(Schema):
    """Files of one row an example: .csv, .tsv or .parquet."""

    kind: Literal["table"] = "table"
    train: str
    dev: str
    test: str | None = None
    """A file without labels, for predictions only."""
    columns: Columns
    separator: str | None = None
    """Between fields; none means a tab for .tsv and a comma for .csv."""


class HubSource(Schema):
    """A Hugging Face data set by name (needs the `hub` extra)."""

    kind: Literal["hub"] = "hub"
    dataset: str
    subset: str | None = None
    """The configuration of the data set, as `stsb` of `nyu-mll/glue`."""
    train_split: str = "train"
    dev_split: str = "validation"
    test_split: str | None = None
    columns: Columns


def _kind_of_source(value: object) -> str | None:
    """Tell the kinds apart: `kind` where it is given, else by the key that only one of them has."""
    if isinstance(value, Mapping):
        return str(value.get("kind", "hub" if "dataset" in value else "table"))
    return getattr(value, "kind", None)


Source = Annotated[
    Annotated[TableSource, Tag("table")] | Annotated[HubSource, Tag("hub")],
    Discriminator(
        _kind_of_source,
        custom_error_type="kind_of_source",
        custom_error_message="must be a mapping with the files of a 'table' or the dataset of a 'hub'",
    ),
]


class TaskSpec(Schema):
    """One task of the multitask model."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Names the head, the metric and the columns of the report."""
    kind: TaskKind
    num_classes: int | None = Field(default=None, ge=2)
    """Number of classes; none for a regression."""
    label_range: tuple[float, float] | None = None
    """Lowest and highest label of a regression; none for a classification."""
    source: Source | None = None
    """Where the rows are; none takes the data set named by `data.source`, which knows sst, quora and sts."""

    def with_absolute_paths(self) -> "TaskSpec":
        """Return the same task with its local files by their absolute paths."""
        match self.source:
            case TableSource(train=train, dev=dev, test=test) as table:
                files = {"train": absolute(train), "dev": absolute(dev), "test": test and absolute(test)}
                return self.model_copy(update={"source": table.model_copy(update=files)})
            case HubSource(dataset=dataset) as hub:
                found = hub.model_copy(update={"dataset": absolute_if_folder(dataset)})
                return self.model_copy(update={"source": found})
        return self

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> Self:
        if self.kind is TaskKind.PAIR_REGRESSION:
            if self.num_classes is not None or self.label_range is None:
                raise ValueError("a pair_regression needs label_range: [lowest, highest] and no num_classes")
            if not self.label_range[0] < self.label_range[1]:
                raise ValueError(f"label_range {list(self.label_range)} must rise")
        elif self.num_classes is None or self.label_range is not None:
            raise ValueError(f"a {self.kind} needs num_classes and no label_range")
        return self

    @model_validator(mode="after")
    def _columns_fit_the_kind(self) -> Self:
        if self.source is not None and (self.source.columns.sentence2 is not None) != self.kind.is_pair:
            wanted = "must name" if self.kind.is_pair else "must not name"
            raise ValueError(f"source.columns {wanted} sentence2 for a {self.kind}")
        return self

    @model_validator(mode="after")
    def _unknown_tasks_have_a_source(self) -> Self:
        if self.source is None and self.name not in KNOWN_TASK_NAMES:
            raise ValueError(f"task '{self.name}' needs a source; only {', '.join(KNOWN_TASK_NAMES)} are known by name")
        return self


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
    """Let YAML say `sst` for the whole specification."""
    if isinstance(value, str):
        if value not in KNOWN_TASKS:
            raise ValueError(f"unknown task '{value}' (known by name: {', '.join(KNOWN_TASKS)}; others need a mapping)")
        return KNOWN_TASKS[value]
    return value


TaskOrName = Annotated[TaskSpec, BeforeValidator(_by_name)]
