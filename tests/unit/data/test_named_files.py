"""Files that somebody names: training rows in place of a source's, and rows to predict or to score."""

import numpy as np
import pandas as pd
import pytest

from mtbert_ray.config import DataConfig
from mtbert_ray.data.sources import load_examples, load_file
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, TableSource
from mtbert_ray.tasks import QUORA, SST, STS, TaskKind, TaskSpec


def review_task(source) -> TaskSpec:
    return TaskSpec(name="reviews", kind=TaskKind.CLASSIFICATION, num_classes=3, source=source)


def table_task(path, *, separator=None, columns=None) -> TaskSpec:
    columns = columns or Columns(sentence1="text", label="stars", id="key")
    return review_task(TableSource(train=str(path), dev=str(path), columns=columns, separator=separator))


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def error_of(task, split="train", data=None) -> str:
    with pytest.raises(DataError) as caught:
        load_examples(task, data or DataConfig(), split, seed=0)
    return str(caught.value)


QUORA_ROWS = "Where is the bus?;Where does it stop?;1\nHow old is soup?;Is it salty?;0\nAny parrots?;A, or two?;1\n"


def course_file(path, separator="\t", extra=""):
    """A training file in the columns of quora; `extra` adds one more of the kind that a sample has."""
    head = ["", "id", "sentence1", "sentence2", "is_duplicate", *([extra] if extra else [])]
    lines = [separator.join(head)]
    for number, row in enumerate(QUORA_ROWS.splitlines()):
        first, second, label = row.split(";")
        quoted = f'"{second}"' if "," in second else second
        lines.append(separator.join([str(number), f"q{number}", first, quoted, label, *(["Pets"] if extra else [])]))
    return write(path, "\n".join(lines) + "\n")


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("source", ["toy", "course"])
def test_a_training_file_takes_the_place_of_the_sources_rows(tmp_path, separator, source):
    path = course_file(tmp_path / "sample.csv", separator, extra="topic")
    data = DataConfig(source=source, directory=str(tmp_path), train_files={"quora": str(path)})
    train = load_examples(QUORA, data, "train", seed=0)
    assert (train.ids, train.sentence2) == (["q0", "q1", "q2"], ["Where does it stop?", "Is it salty?", "A, or two?"])
    assert (train.labels.tolist(), train.origin) == ([1.0, 0.0, 1.0], str(path))


def test_only_the_training_rows_of_the_task_it_names_are_replaced(tmp_path):
    data = DataConfig(train_files={"quora": str(course_file(tmp_path / "a.csv"))})
    for task, split in ((QUORA, "dev"), (QUORA, "test"), (SST, "train")):
        assert load_examples(task, data, split, seed=0).ids == load_examples(task, DataConfig(), split, seed=0).ids


def test_the_row_limit_holds_for_a_training_file(tmp_path):
    path = str(course_file(tmp_path / "a.csv"))
    data = DataConfig(train_files={"quora": path}, max_train_rows={"quora": 2})
    drawn = {tuple(load_examples(QUORA, data, "train", seed=seed).ids) for seed in range(8)}
    assert len(drawn) > 1 and all(len(ids) == 2 and list(ids) == sorted(ids) for ids in drawn)


def test_a_task_of_its_own_reads_a_training_file_with_its_own_columns(tmp_path):
    write(tmp_path / "dev.csv", "key;text;stars\nd;Fine;1\n")
    task = table_task(tmp_path / "dev.csv", separator=";")
    for name, separator in (("a.csv", ";"), ("b.csv", "\t")):
        path = write(tmp_path / name, f"key;text;stars\nx;{name} is good;2\n".replace(";", separator))
        data = DataConfig(train_files={"reviews": str(path)})
        assert load_examples(task, data, "train", seed=0).sentence1 == [f"{name} is good"]
        assert load_examples(task, data, "dev", seed=0).ids == ["d"]
    pd.DataFrame({"key": ["p"], "text": ["Parquet"], "stars": [0]}).to_parquet(tmp_path / "c.parquet")
    data = DataConfig(train_files={"reviews": str(tmp_path / "c.parquet")})
    assert load_examples(task, data, "train", seed=0).ids == ["p"]


def test_a_missing_training_file_says_how_to_write_it(tmp_path):
    path = tmp_path / "sample.csv"
    message = error_of(QUORA, data=DataConfig(train_files={"quora": str(path)}))
    assert message.startswith(f"{path}: no such file") and f"mtbert_ray.sample TOPICS.yaml --out {path}" in message


def test_a_training_file_of_another_task_is_refused(tmp_path):
    path = course_file(tmp_path / "sample.csv")
    message = error_of(STS, data=DataConfig(train_files={"sts": str(path)}))
    assert message.startswith(f"{path}: no column 'similarity' for label. The columns are: ")
    assert message.endswith("The names come from the course's format of task 'sts'")


def test_a_known_name_with_other_classes_is_refused_with_a_training_file_too(tmp_path):
    data = DataConfig(train_files={"sst": str(tmp_path / "a.csv")})
    assert "but the task is declared otherwise" in error_of(SST.model_copy(update={"num_classes": 2}), data=data)


# A file to evaluate


def test_a_file_with_labels_is_a_dev_split_and_one_without_a_test_split(tmp_path):
    columns = "\tid\tsentence\tsentiment\n"
    labeled = load_file(SST, write(tmp_path / "a.csv", columns + "0\tx\tFine\t3\n1\ty\tBad\t0\n"))
    assert (labeled.ids, labeled.labels.tolist()) == (["x", "y"], [3.0, 0.0])
    for text in ("\tid\tsentence\n0\tx\tFine\n", columns + "0\tx\tFine\t\n"):
        unlabeled = load_file(SST, write(tmp_path / "b.csv", text))
        assert (unlabeled.ids, unlabeled.labels) == (["x"], None)


def test_of_a_half_labeled_file_every_row_is_there(tmp_path):
    rows = [f"{n}\tk{n}\t{'' if n == 3 else f'Film {n}'}\t{'' if n == 5 else n % 5}" for n in range(7)]
    path = write(tmp_path / "a.csv", "\n".join(["\tid\tsentence\tsentiment", *rows]) + "\n")
    examples = load_file(SST, path)
    assert examples.ids == [f"k{n}" for n in range(7)]
    np.testing.assert_array_equal(examples.labels, [0, 1, 2, 3, 4, np.nan, 1])
    assert examples.rows_read.unlabeled.places == "row 6 (id k5)"
    assert examples.rows_read.empty.places == "row 4 (id k3)"


def test_a_file_of_ones_own_needs_no_identifiers(tmp_path):
    (tmp_path / "own.csv").write_text("sentence,sentiment\nFine.,3\nPoor.,1\n")
    examples = load_file(SST, tmp_path / "own.csv")
    assert (examples.ids, examples.sentence1, examples.labels.tolist()) == (["0", "1"], ["Fine.", "Poor."], [3, 1])
