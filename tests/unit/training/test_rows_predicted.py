"""Rows in, predictions out: each row of a generated file has its prediction, at its place and under its id."""

import csv
from pathlib import Path

import pytest
from generated_files import Written, as_read, written_files
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.task_source import Columns, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.training.predictions import predict_files
from mtbert_ray.training.process import Process

CLASSES = ("dull", 'so, "so"')


def task_of(**source) -> TaskSpec:
    columns = Columns(id="key", sentence1="text", label="label")
    source = TableSource(train="train.csv", dev="dev.csv", columns=columns, **source)
    return TaskSpec(name="mood", kind=TaskKind.CLASSIFICATION, classes=CLASSES, source=source)


@pytest.fixture(scope="module")
def model():
    """A random encoder of two layers, and its configuration."""
    config = TrialConfig(encoder="tiny", tasks=(task_of(),))
    return build_model(config), config


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


@settings(max_examples=10)
@given(
    written=written_files(st.sampled_from([*CLASSES, ""]), st.sampled_from(["7", 'a "b", c', "", "x\ty"])),
    has_labels=st.booleans(),
)
def test_each_row_of_a_file_has_its_prediction_in_order(tmp_path_factory, model, written: Written, has_labels: bool):
    folder = tmp_path_factory.mktemp("rows")
    header = ["text", "label" if has_labels else "other", "key"]
    path = written.write(folder / "mine.csv", header)
    task, (encoder, config) = task_of(**written.source, quoting="minimal"), model
    (done,) = predict_files(encoder, config, [(task, path)], folder / "out", process=Process(), with_text=True)
    columns, *predictions = rows_of(done.written)
    assert len(predictions) == len(written.rows) == done.num_rows
    by_name = [dict(zip(columns, row, strict=True)) for row in predictions]
    assert [row["id"] for row in by_name] == [key for _, _, key in written.rows]
    assert [row["text"] for row in by_name] == [as_read(text) for text, _, _ in written.rows]
    assert {row["prediction"] for row in by_name} <= set(CLASSES)
    labels = [label for _, label, _ in written.rows] if has_labels else []
    assert done.num_scored == sum(label != "" for label in labels)
    if done.num_scored:
        assert [row["label"] for row in by_name] == labels
    else:
        assert "label" not in columns


def test_of_lines_that_are_not_quoted_all_but_the_blank_ones_are_predicted(tmp_path, model):
    lines = ['"a door, open', "", 'the "lamp"', '"', "   ", ",,k", 'a""', "fine,7,\\", '"x","y","z"']
    (tmp_path / "mine.csv").write_text("\n".join(["text,other,key", *lines, ""]))
    encoder, config = model
    task = task_of(quoting="none")
    (done,) = predict_files(encoder, config, [(task, tmp_path / "mine.csv")], tmp_path / "out", process=Process())
    _, *predictions = rows_of(done.written)
    assert [row[0] for row in predictions] == ["", "", "", "k", "", "\\", '"z"']
    assert done.note == "7 rows; 1 with an empty text (row 4 (id k)); 2 blank lines skipped"
