"""Prediction files in the course's format, and the scores that they would get."""

import re

import numpy as np
import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import ConfigError, DataError, UserError
from mtbert_ray.models.build import build_model
from mtbert_ray.tasks import QUORA, SST, STS, TaskSpec
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.predictions import parse_files, predict_all, predict_files, write_predictions
from mtbert_ray.training.process import Process

COURSE = {
    "ids-sst-{}.csv": ("\tid\tsentence\tsentiment", "{n}\ts{n:03}\tThe {n}. film of the day\t{label}", 5),
    "quora-{}.csv": (
        "\tid\tsentence1\tsentence2\tis_duplicate",
        "{n}\tq{n}\tIs it {n} ?\tAre there {n} ?\t{label}.0",
        2,
    ),
    "sts-{}.csv": ("\tid\tsentence1\tsentence2\tsimilarity", "{n}\tp{n}\tA cat sits\tThe {n} cats\t{label}.5", 5),
}


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoder": "tiny", "data.max_dev_rows": 2, **dotted}))


@pytest.fixture
def course(tmp_path):
    """Made-up files of the course: 12 dev rows; test rows without labels, and none of quora."""
    for name, (header, row, classes) in COURSE.items():
        rows = [row.format(n=n, label=n % classes) for n in range(12)]
        for split in ("train", "dev"):
            (tmp_path / name.format(split)).write_text("\n".join([header, *rows]) + "\n")
        if not name.startswith("quora"):
            unlabelled = [line.rsplit("\t", 1)[0] for line in (header, *rows[:5])]
            (tmp_path / name.format("test-student")).write_text("\n".join(unlabelled) + "\n")
    return tmp_path


def predicted(config, folder):
    return predict_all(build_model(config), config, folder, process=Process())


@pytest.mark.parametrize(
    ("task", "predictions", "content"),
    [
        (SST, [4.0, 0.0], "id \t Predicted_Sentiment \na1 , 4 \nb, 2 , 0 \n"),
        (QUORA, [1.0, 0.0], "id \t Predicted_Is_Duplicate \na1 , 1 \nb, 2 , 0 \n"),
        (STS, [3.25, 5.0], "id \t Predicted_Similiary \na1 , 3.25 \nb, 2 , 5.0 \n"),
    ],
)
def test_a_file_is_the_course_s_to_the_last_space(tmp_path, task, predictions, content):
    path = tmp_path / "out.csv"
    write_predictions(path, task, ["a1", "b, 2"], np.array(predictions))
    assert path.read_bytes() == content.encode()


def test_a_number_is_written_without_loss(tmp_path):
    values = np.array([0.1, 1 / 3, float(np.float32(2.345678)), 1e-9])
    write_predictions(tmp_path / "out.csv", STS, ["a", "b", "c", "d"], values)
    written = [line.split(" , ")[1] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert [float(text) for text in written] == values.tolist()


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
    assert scores == evaluate(model, config.tasks, load_inputs(everything, "dev"), Process(), bf16=False)
    assert set(scores) == {"sst", "quora", "sts", "dev_score", "leaderboard_score"}


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
        assert written.scores[task.name] == pytest.approx(np.mean(correct))


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
    dev, test = (path.read_text().splitlines() for path in written.files)
    assert [path.name for path in written.files] == ["mood-dev-output.csv", "mood-test-output.csv"]
    assert dev[0] == "id \t Predicted_mood " and len(dev) == 10
    assert [re.fullmatch(r"(day 9\d) , [0-2] ", line)[1] for line in test[1:]] == ["day 90", "day 91"]
    assert written.scores["dev_score"] == written.scores["mood"] == written.scores["leaderboard_score"]


def test_a_folder_that_cannot_be_made_is_the_user_s_mistake(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=rf"^--out {folder}: no folder can be made there: "):
            predicted(config_of(tasks=["sst"]), folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_data_that_are_not_there_are_missed(tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(tmp_path)})
    with pytest.raises(DataError, match=r"ids-sst-dev\.csv: no such file"):
        predicted(config, tmp_path / "out")


# Files of the user's


def of_files(config, folder, *texts):
    return predict_files(build_model(config), config, parse_files(texts, config), folder, process=Process())


def test_a_labelled_file_gets_the_predictions_and_the_score_of_the_same_dev_rows(course, tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(course)})
    as_dev = predicted(config, tmp_path / "dev")
    files = [
        f"{task}={course / name.format('dev')}" for task, name in zip(("sst", "quora", "sts"), COURSE, strict=True)
    ]
    done = of_files(config, tmp_path / "files", *files)
    assert [one.written.name for one in done] == [
        "sst-ids-sst-dev-output.csv",
        "quora-quora-dev-output.csv",
        "sts-sts-dev-output.csv",
    ]
    for one, old, task in zip(done, as_dev.files, ("sst", "quora", "sts"), strict=False):
        assert one.written.read_bytes() == old.read_bytes()
        assert one.score == as_dev.scores[task]
        assert one.lines() == [str(one.written), f"{one.file}: {one.metric} {one.score:.4f} (12 rows)"]
    assert [one.metric for one in done] == ["accuracy", "accuracy", "pearson"]


def test_a_file_without_labels_gets_predictions_alone(course, tmp_path):
    config = config_of(tasks=["sst"])
    (one,) = of_files(config, tmp_path / "out", f"sst={course / 'ids-sst-test-student.csv'}")
    assert (one.score, one.num_rows, one.lines()) == (None, 5, [str(one.written)])
    assert len(one.written.read_text().splitlines()) == 6


def test_rows_left_out_for_want_of_a_label_are_told(course, tmp_path):
    header, row, _ = COURSE["ids-sst-{}.csv"]
    rows = [row.format(n=n, label="" if n == 7 else n % 5) for n in range(110)]
    (tmp_path / "mine.csv").write_text("\n".join([header, *rows]) + "\n")
    (one,) = of_files(config_of(tasks=["sst"]), tmp_path / "out", f"sst={tmp_path / 'mine.csv'}")
    assert one.lines()[1].endswith("(109 rows, 1 more have no label)")


def test_a_file_that_is_not_there_stops_before_anything_is_written(course, tmp_path):
    good, missing = course / "ids-sst-dev.csv", tmp_path / "nowhere.csv"
    with pytest.raises(DataError, match=rf"^{missing}: no such file"):
        of_files(config_of(tasks=["sst"]), tmp_path / "out", f"sst={good}", f"sst={missing}")
    assert not (tmp_path / "out").exists()


def test_every_mistake_in_the_files_is_told_at_once():
    config = config_of(tasks=["sst", "quora"])
    with pytest.raises(ConfigError) as caught:
        parse_files(["sst", "quorra=a.csv", "sst=", "sst=one/a.csv", "sst=other/a.csv"], config)
    assert caught.value.problems == (
        "--file sst: expected TASK=PATH, as sst=rows.csv",
        "--file quorra=a.csv: no task 'quorra'; did you mean 'quora'? (sst, quora)",
        "--file sst=: expected TASK=PATH, as sst=rows.csv",
        "--file: the predictions of two files would both be sst-a-output.csv; rename one, or predict them apart",
    )
