"""Prediction files of dev and test rows, and the scores that they would get."""

import re

import numpy as np
import pandas as pd
import pytest
from course_files import write_course

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import DataError, UserError
from mtbert_ray.models.build import build_model
from mtbert_ray.tasks import QUORA, SST, TaskSpec
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.predictions import predict_all
from mtbert_ray.training.process import Process


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoder": "tiny", "data.max_dev_rows": 2, **dotted}))


@pytest.fixture
def course(tmp_path):
    return write_course(tmp_path)


def predicted(config, folder, **options):
    return predict_all(build_model(config), config, folder, process=Process(), **options)


def test_the_course_s_files_get_the_course_s_names_and_every_row_its_line(course, tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(course), "data.max_train_rows": 3})
    written = predicted(config, tmp_path / "new" / "predictions")
    assert [path.name for path in written.files] == [
        "sst-dev-output.csv",
        "para-dev-output.csv",
        "sts-dev-output.csv",
        "sst-test-output.csv",
        "sts-test-output.csv",
    ]
    lines = {path.name: path.read_text().splitlines() for path in written.files}
    # All twelve dev rows, although the run looked at two.
    assert [line.split(" , ")[0] for line in lines["sst-dev-output.csv"][1:]] == [f"s{n:03}" for n in range(12)]
    assert [line.split(" , ")[0] for line in lines["sts-test-output.csv"][1:]] == [f"p{n}" for n in range(5)]
    classes = {"sst-dev-output.csv": "[0-4]", "para-dev-output.csv": "[01]", "sts-dev-output.csv": r"[0-5]\.\d+"}
    for name, pattern in classes.items():
        assert all(re.fullmatch(rf"\w+ , {pattern} ", line) for line in lines[name][1:]), lines[name]


def test_the_scores_are_those_of_the_evaluation_on_every_dev_row(course, tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(course)})
    model = build_model(config)
    scores = predict_all(model, config, tmp_path / "out", process=Process()).scores
    everything = config.model_copy(update={"data": config.data.model_copy(update={"max_dev_rows": None})})
    assert scores == evaluate(model, config.tasks, load_inputs(everything, "dev"), Process(), bf16=False).scores
    assert set(scores.values) == {"sst", "quora", "sts", "dev_score", "leaderboard_score"}


def test_the_scores_are_those_of_the_files_that_were_written(tmp_path):
    config = config_of()
    written = predicted(config, tmp_path)
    files = {path.name: path.read_text().splitlines()[1:] for path in written.files}
    for task, name in ((SST, "sst-dev-output.csv"), (QUORA, "para-dev-output.csv")):
        rows = load_examples(task, config.data.model_copy(update={"max_dev_rows": None}), "dev", seed=0)
        correct = [
            line == f"{row_id} , {int(label)} "
            for line, row_id, label in zip(files[name], rows.ids, rows.labels, strict=True)
        ]
        assert written.scores.values[task.name] == pytest.approx(np.mean(correct))


def test_predicting_twice_gives_the_same_files(tmp_path):
    """Dropout is off, and an older file is replaced."""
    config = config_of(dropout=0.5, encoder_dropout=0.5, tasks=["sst"])
    model = build_model(config).train()
    contents = []
    for _ in range(2):
        files = predict_all(model, config, tmp_path, process=Process()).files
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1] and len(contents[0]) == 2


def test_a_task_of_the_user_s_own_has_files_of_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"the weather of day {n},day {n},{n % 3}" for n in range(9)]
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text("\n".join(["text,day,mood", *rows]) + "\n")
    (tmp_path / "test.csv").write_text("text,day\nrain,day 90\nsun,day 91\n")
    columns = {"sentence1": "text", "label": "mood", "id": "day"}
    source = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv", "columns": columns}
    mood = TaskSpec.model_validate({"name": "mood", "kind": "classification", "num_classes": 3, "source": source})
    written = predicted(config_of(tasks=[mood]), tmp_path / "out")
    names = ["mood-dev-output.csv", "mood-dev-output-confusion.csv", "mood-test-output.csv"]
    assert [path.name for path in written.files] == names
    dev, confusion, test = map(pd.read_csv, written.files)
    assert list(test) == ["id", "prediction", "probability_0", "probability_1", "probability_2"]
    assert list(dev) == ["id", "label", *list(test)[1:]]
    assert dev["id"].tolist() == [f"day {n}" for n in range(9)] and test["id"].tolist() == ["day 90", "day 91"]
    assert dev["label"].tolist() == [0, 1, 2] * 3
    assert written.scores.values["mood"] == np.mean(dev["label"] == dev["prediction"])
    assert confusion.set_index("label").to_numpy().sum() == 9
    texts = predicted(config_of(tasks=[mood]), tmp_path / "texts", with_text=True)
    assert pd.read_csv(texts.files[0])["text"].tolist() == [f"the weather of day {n}" for n in range(9)]
    assert len(set(written.scores.values.values())) == 1, "of one task, dev_score and leaderboard_score are its score"


def test_a_folder_that_cannot_be_made_is_the_user_s_mistake(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            UserError, match=rf"^--out {folder}: (is a file; give a folder|no folder can be made there)"
        ):
            predicted(config_of(tasks=["sst"]), folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_data_that_are_not_there_are_missed(tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(tmp_path)})
    with pytest.raises(DataError, match=r"ids-sst-dev\.csv: no such file"):
        predicted(config, tmp_path / "out")


def test_dev_and_test_rows_without_text_or_label_have_their_predictions_too(tmp_path):
    content = {
        "train.csv": "text,mood\n" + "".join(f"day {n},{n % 2}\n" for n in range(8)),
        "dev.csv": "text,mood\nsun,1\n,0\nrain,\n\nsnow,-1\n",
        "test.csv": "text\nsun\n\nrain\n",
    }
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    files = {name.removesuffix(".csv"): str(tmp_path / name) for name in content}
    source = {**files, "columns": {"sentence1": "text", "label": "mood"}}
    mood = TaskSpec.model_validate({"name": "mood", "kind": "classification", "num_classes": 2, "source": source})
    config, notes = config_of(tasks=[mood]), []
    model = build_model(config)
    written = predict_all(model, config, tmp_path / "out", process=Process(), announce=notes.append)
    dev, _, test = map(pd.read_csv, written.files)
    assert [len(dev), len(test)] == [4, 3]
    assert written.scores.values["mood"] == np.mean(dev["prediction"][:2] == [1, 0])
    assert (
        "mood dev: 4 rows; 2 not scored (no label: row 3, row 4); 1 with an empty text (row 2); 1 blank line "
        in notes[0]
    )
    assert "mood test: 3 rows; 1 with an empty text (row 2)" in notes


def test_without_any_dev_label_there_is_no_score(tmp_path):
    (tmp_path / "train.csv").write_text("text,mood\n" + "".join(f"day {n},{n % 2}\n" for n in range(8)))
    (tmp_path / "dev.csv").write_text("text,mood\nsun,-1\nrain,\n")
    source = {
        "train": str(tmp_path / "train.csv"),
        "dev": str(tmp_path / "dev.csv"),
        "columns": {"sentence1": "text", "label": "mood"},
    }
    mood = TaskSpec.model_validate({"name": "mood", "kind": "classification", "num_classes": 2, "source": source})
    written = predicted(config_of(tasks=[mood]), tmp_path / "out")
    assert len(written.files[0].read_text().splitlines()) == 3
    assert written.scores.values == {"mood": None, "dev_score": None, "leaderboard_score": None}
    assert written.scores.undefined["mood"] == "no row has a label"
