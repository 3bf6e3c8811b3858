"""The course's format to the last space, and CSV that pandas reads back as it was."""

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.tasks import QUORA, SST, STS, TaskSpec
from mtbert_ray.training.evaluate import Predicted
from mtbert_ray.training.prediction_files import confusion_path, output_name, write_predictions

AWKWARD = ("plain", "a, b", 'said "so"', "two\nlines", "return\rhere", "both\r\nof them", "NA", "7", " led by a space")


def task_of(kind="classification", columns=None, **fields) -> TaskSpec:
    columns = columns or {"sentence1": "text", **({"sentence2": "other"} if kind.startswith("pair") else {})}
    source = {"train": "train.csv", "dev": "dev.csv", "columns": columns}
    return TaskSpec.model_validate({"name": "topic", "kind": kind, "source": source, **fields})


def rows_of(texts, labels=None, second=None, ids=None) -> Examples:
    return Examples(
        ids=ids or [str(n) for n in range(len(texts))],
        sentence1=list(texts),
        sentence2=second,
        labels=None if labels is None else np.array(labels, dtype=float),
        rows_read=RowsRead(num_rows=len(texts)),
        origin="here",
    )


def predicted_of(values, num_classes) -> Predicted:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(num_classes), size=len(values)).astype(np.float32).astype(float)
    return Predicted(values=np.array(values, dtype=float), probabilities=probabilities)


def read(path, **options) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, **options)


@pytest.mark.parametrize(
    ("task", "predictions", "content"),
    [
        (SST, [4.0, 0.0], "id \t Predicted_Sentiment \na1 , 4 \nb, 2 , 0 \n"),
        (QUORA, [1.0, 0.0], "id \t Predicted_Is_Duplicate \na1 , 1 \nb, 2 , 0 \n"),
        (STS, [3.25, 5.0], "id \t Predicted_Similiary \na1 , 3.25 \nb, 2 , 5.0 \n"),
    ],
)
@pytest.mark.parametrize("with_text", [True, False])
def test_a_file_is_the_course_s_to_the_last_space(tmp_path, task, predictions, content, with_text):
    predicted = Predicted(values=np.array(predictions), probabilities=None)
    rows = rows_of(["one", "other"], [0, 1], second=["x", "y"], ids=["a1", "b, 2"])
    written = write_predictions(tmp_path / "out.csv", task, rows, predicted, with_text=with_text)
    assert written == [tmp_path / "out.csv"] == list(tmp_path.iterdir())
    assert written[0].read_bytes() == content.encode()


def test_a_number_is_written_to_the_course_without_loss(tmp_path):
    values = np.array([0.1, 1 / 3, float(np.float32(2.345678)), 1e-9])
    rows = rows_of(["a", "b", "c", "d"], second=["a", "b", "c", "d"])
    write_predictions(tmp_path / "out.csv", STS, rows, Predicted(values=values, probabilities=None))
    written = [line.split(" , ")[1] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert [float(text) for text in written] == values.tolist()


def test_a_known_name_with_a_source_of_its_own_is_a_task_like_any_other(tmp_path):
    mine = task_of("pair_classification", num_classes=2).model_copy(update={"name": "quora"})
    assert (output_name(mine, "dev"), output_name(QUORA, "dev")) == ("quora-dev-output.csv", "para-dev-output.csv")
    write_predictions(tmp_path / "out.csv", mine, rows_of(["a"], second=["b"]), predicted_of([1], 2))
    assert list(read(tmp_path / "out.csv")) == ["id", "prediction", "probability_0", "probability_1"]


def test_names_of_classes_that_need_quotes_come_back(tmp_path):
    task = task_of(classes=AWKWARD[:-1])
    numbers = list(range(8)) * 2
    predicted = predicted_of(numbers, 8)
    written = write_predictions(tmp_path / "out.csv", task, rows_of(["x"] * 16, numbers[::-1]), predicted)
    table = read(tmp_path / "out.csv", dtype={"prediction": str, "label": str})
    assert list(table) == ["id", "label", "prediction", *(f"probability_{name}" for name in task.classes)]
    assert table["prediction"].tolist() == [task.classes[n] for n in numbers]
    assert table["label"].tolist() == [task.classes[n] for n in numbers[::-1]]
    read_back = table.filter(regex="^probability_").to_numpy(dtype=np.float32)
    assert np.array_equal(read_back, predicted.probabilities.astype(np.float32))
    assert written == [tmp_path / "out.csv", confusion_path(tmp_path / "out.csv")]


def test_classes_without_names_are_their_numbers(tmp_path):
    write_predictions(tmp_path / "out.csv", task_of(num_classes=3), rows_of(["x", "y"]), predicted_of([2, 0], 3))
    table = read(tmp_path / "out.csv")
    assert table["prediction"].tolist() == [2, 0] and "label" not in table
    assert not confusion_path(tmp_path / "out.csv").exists()


def test_a_regression_has_its_number_and_its_label(tmp_path):
    task = task_of("regression", label_range=(0, 9))
    predicted = Predicted(values=np.float32([0.1, 7.25, 1e-9]).astype(float), probabilities=None)
    written = write_predictions(tmp_path / "out.csv", task, rows_of(["x"] * 3, [0.5, np.nan, 9]), predicted)
    assert (tmp_path / "out.csv").read_text() == "id,label,prediction\n0,0.5,0.1\n1,,7.25\n2,9.0,1e-09\n"
    assert written == [tmp_path / "out.csv"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"sentence1": "first", "sentence2": "second"}, ["first", "second"]),
        ({"sentence1": "id", "sentence2": "prediction"}, ["id_text", "prediction_text"]),
        ({"sentence1": "probability_0", "sentence2": "label", "label": "y"}, ["probability_0_text", "label_text"]),
        ({"sentence1": "label", "sentence2": "label_text", "label": "y"}, ["label_text", "label_text_text"]),
    ],
)
def test_texts_stand_under_their_own_names_unless_these_are_taken(tmp_path, columns, expected):
    task = task_of("pair_classification", columns=columns, num_classes=2)
    rows = rows_of(["one"], [1], second=["other"])
    write_predictions(tmp_path / "out.csv", task, rows, predicted_of([0], 2), with_text=True)
    table = read(tmp_path / "out.csv")
    assert list(table) == ["id", *expected, "label", "prediction", "probability_0", "probability_1"]
    assert table.loc[0, expected].tolist() == ["one", "other"]


field = st.text(alphabet=st.sampled_from("ab ,;\t\"'\r\n\\é\u2028"), max_size=6) | st.sampled_from([*AWKWARD, ""])


@given(st.lists(st.tuples(field, field), min_size=1, max_size=8))
def test_any_text_and_any_id_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "generated.csv"
    ids, texts = zip(*rows, strict=True)
    predicted = Predicted(values=np.zeros(len(rows)), probabilities=None)
    task = task_of("regression", label_range=(0, 1))
    write_predictions(path, task, rows_of(texts, ids=list(ids)), predicted, with_text=True)
    table = read(path, dtype=str, skip_blank_lines=False)
    assert (table["id"].tolist(), table["text"].tolist()) == (list(ids), list(texts))
    with path.open(newline="", encoding="utf-8") as file:
        assert [tuple(row[:2]) for row in csv.reader(file)][1:] == list(rows)


def test_a_confusion_table_counts_labels_by_predictions(tmp_path):
    task = task_of(classes=["label", "a, b", "never"])
    labels, values = [0, 0, 0, 1, 1, np.nan], [0, 1, 1, 1, 0, 2]
    write_predictions(tmp_path / "out.csv", task, rows_of(["x"] * 6, labels), predicted_of(values, 3))
    table = read(confusion_path(tmp_path / "out.csv"), index_col="label")
    assert table.index.tolist() == list(task.classes)
    assert list(table) == ["predicted_label", "predicted_a, b", "predicted_never"]
    assert table.to_numpy().tolist() == confusion_matrix(labels[:5], values[:5], labels=[0, 1, 2]).tolist()
