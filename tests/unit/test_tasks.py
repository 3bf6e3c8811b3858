"""What a task may be, and how YAML says it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from mtbert_ray.task_source import HubSource, TableSource
from mtbert_ray.tasks import KNOWN_TASKS, QUORA, SST, STS, TaskKind, TaskOrName, TaskSpec

TASK = TypeAdapter(TaskOrName)
TABLE = {"train": "a.csv", "dev": "b.csv", "columns": {"sentence1": "text"}}
REGRESSION = {"kind": "regression", "num_classes": None}
PAIRS = {"dataset": "x/y", "columns": {"sentence2": "other"}}


def test_the_three_known_tasks_are_said_by_name():
    assert [TASK.validate_python(name) for name in ("sst", "quora", "sts")] == [SST, QUORA, STS]
    assert [task.metric for task in KNOWN_TASKS.values()] == ["accuracy", "accuracy", "pearson"]
    assert [task.kind.is_pair for task in KNOWN_TASKS.values()] == [False, True, True]
    assert (SST.num_classes, QUORA.num_classes, STS.label_range) == (5, 2, (0.0, 5.0))
    with pytest.raises(ValidationError, match=r"unknown task 'SST' \(known by name: sst, quora, sts; others need"):
        TASK.validate_python("SST")


def test_a_source_is_of_the_kind_that_its_keys_say():
    """YAML need not write `kind`, and what is written out again has it."""
    topic = {"name": "topic", "kind": "classification", "num_classes": 3}
    table = TASK.validate_python({**topic, "source": TABLE})
    hub = TASK.validate_python({"name": "p", "kind": "pair_classification", "num_classes": 2, "source": PAIRS})
    assert isinstance(table.source, TableSource) and isinstance(hub.source, HubSource)
    for task in (table, hub):
        assert TASK.validate_python(task.model_dump(mode="json")) == task
    with pytest.raises(ValidationError, match=r"source\.hub\.dataset"):
        TASK.validate_python({**topic, "source": {**TABLE, "kind": "hub"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Topic"}, "must begin with a small letter .*, as topic"),
        ({"name": "a.b"}, "hold only small letters, digits and _, as a_b"),
        ({"name": ""}, "must begin with a small letter"),
        ({"classes": ["a", "b"]}, "num_classes has 3, but classes names 2"),
        ({"classes": ["a", "b", "a"]}, "classes has a twice"),
        ({"classes": ["a", "b", True]}, "has true; a class's name must be a text"),
        (
            {"metrics": ["f1_marco"]},
            r"metrics.0 has 'f1_marco', no metric of a classification; did you mean 'f1_macro'\? \(accuracy, ",
        ),
        ({"metrics": ["f1.7"]}, r"metrics.0 has 'f1.7', but there is no class '7' \(0, 1, 2\)"),
        ({"metrics": ["f1."]}, "metrics.0 has 'f1.', which names no class; write f1.CLASS"),
        ({"metrics": ["accuracy", "pearson"]}, "metrics.1 has 'pearson', no metric of a classification"),
        ({"classes": ["", "a", "b"]}, "has an empty name"),
        ({"metrics": ["accuracy", "accuracy"]}, "metrics.1 has 'accuracy' twice"),
        ({"template": "query:"}, "must hold {sentence} once"),
        ({"template": ["{sentence}", "{sentence}"]}, "a classification has one sentence"),
        ({"weight": 0}, "greater than 0"),
        ({"num_classes": 10**12}, "less than or equal to 100000"),
        ({"source": {**TABLE, "columns": {"sentence1": "text", "label": "text"}}}, "'text' is given for sentence1 and"),
        ({**REGRESSION, "label_range": [0, float("inf")]}, "finite number"),
        ({**REGRESSION, "label_range": [0, 1e39]}, "must stay within 1e"),
        ({**REGRESSION, "label_range": [1e9, 1e9 + 10]}, "too narrow for its size: float32 has steps of 64 there"),
        ({"num_classes": 1}, "greater than or equal to 2"),
        ({"label_range": (0, 1)}, "a classification has classes and no label_range"),
        ({"kind": "pair_regression"}, r"a pair_regression needs label_range: \[lowest, highest\] and no classes"),
        (
            {"kind": "pair_regression", "num_classes": None, "label_range": (5, 5)},
            r"label_range has \[5.0, 5.0\]; must be",
        ),
        ({"kind": "pair_classification"}, "source.columns must name sentence2 for a pair_classification"),
        ({"source": PAIRS}, "source.columns must not name sentence2 for a classification"),
        ({"source": None}, "task 'topic' needs a source; only sst, quora, sts are known by name"),
        ({"source": 3}, "must be a mapping with the files of a 'table' or the dataset of a 'hub'"),
    ],
)
def test_a_task_that_cannot_be_is_refused(changes, message):
    task = {"name": "topic", "kind": "classification", "num_classes": 3, "source": TABLE}
    assert TaskSpec.model_validate(task).kind is TaskKind.CLASSIFICATION
    with pytest.raises(ValidationError, match=message):
        TaskSpec.model_validate(task | changes)
