"""Predictions for a user's files: the same as for dev rows, under other names, and every mistake reported."""

import pandas as pd
import pytest
from course_files import COURSE, write_course
from saved import save_checkpoint

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.config.checkpoint import parse_files
from mtbert_ray.errors import ConfigError, DataError, UserError
from mtbert_ray.models.build import build_model
from mtbert_ray.training.predictions import (
    PredictionRequest,
    lines_of,
    predict_all,
    predict_checkpoint,
    predict_files,
)
from mtbert_ray.training.process import Process


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoder": "tiny", "data.max_dev_rows": 2, **dotted}))


@pytest.fixture
def course(tmp_path):
    return write_course(tmp_path)


def of_files(config, folder, *texts):
    return predict_files(build_model(config), config, parse_files(texts, config), folder, process=Process())


def test_a_labeled_file_gets_the_predictions_and_the_score_of_the_same_dev_rows(course, tmp_path):
    config = config_of(**{"data.source": "course", "data.directory": str(course)})
    as_dev = predict_all(build_model(config), config, tmp_path / "dev", process=Process())
    files = [
        f"{task}={course / name.format('dev')}" for task, name in zip(("sst", "quora", "sts"), COURSE, strict=True)
    ]
    done = of_files(config, tmp_path / "files", *files)
    assert [one.written.name for one in done] == [
        "sst-ids-sst-dev-predictions.csv",
        "quora-quora-dev-predictions.csv",
        "sts-sts-dev-predictions.csv",
    ]
    for one, old, task in zip(done, as_dev.files, ("sst", "quora", "sts"), strict=False):
        assert one.written.read_bytes() == old.read_bytes()
        ((metric, score),) = one.scores.items()
        assert score.value == as_dev.scores.values[task]
        assert lines_of(one) == [str(one.written), f"{one.file}: {metric} {score.value:.4f} (12 rows)"]
    assert [list(one.scores) for one in done] == [["accuracy"], ["accuracy"], ["pearson"]]


def test_a_file_without_labels_gets_predictions_alone(course, tmp_path):
    config = config_of(tasks=["sst"])
    (one,) = of_files(config, tmp_path / "out", f"sst={course / 'ids-sst-test-student.csv'}")
    assert (one.scores, one.num_rows, lines_of(one)) == ({}, 5, [str(one.written)])
    assert len(one.written.read_text().splitlines()) == 6


def test_rows_without_a_label_are_reported(course, tmp_path):
    header, row, _ = COURSE["ids-sst-{}.csv"]
    rows = [row.format(n=n, label="" if n == 7 else n % 5) for n in range(110)]
    (tmp_path / "mine.csv").write_text("\n".join([header, *rows]) + "\n")
    (one,) = of_files(config_of(tasks=["sst"]), tmp_path / "out", f"sst={tmp_path / 'mine.csv'}")
    assert (one.num_rows, len(one.written.read_text().splitlines())) == (110, 111)
    assert lines_of(one)[1].endswith("(109 rows with a label)")
    assert lines_of(one)[2].endswith("110 rows; 1 not scored (no label: row 8 (id s007))")


def messy_task(folder, **source) -> dict:
    rows = "text,mood\n" + "".join(f"day {n},{('dull', 'fine')[n % 2]}\n" for n in range(6))
    (folder / "rows.csv").write_text(rows)
    columns = {"sentence1": "text", "label": "mood"}
    source = {"train": str(folder / "rows.csv"), "dev": str(folder / "rows.csv"), "columns": columns, **source}
    return {"name": "mood", "kind": "classification", "classes": ["dull", "fine"], "source": source}


@pytest.mark.parametrize(
    ("source", "rows", "num_rows", "num_scored"),
    [
        ({}, ["a,dull", ",fine", "b,", ",", "c", "  ,-1", '"d, e",fine'], 7, 3),
        ({"quoting": "none"}, ['"a,dull', "b,fine", '"c,', '"",fine'], 4, 3),
        ({"quoting": "minimal"}, ['"a,\nb",dull', '"c ""d""",fine', '"",""'], 3, 2),
        ({"escapechar": "\\"}, ['"a \\"b\\"",dull', "c,-1"], 2, 1),
        ({}, ["a,-1", "b,-1"], 2, 0),
    ],
)
def test_every_row_has_its_prediction_in_order_with_or_without_text_and_label(
    tmp_path, source, rows, num_rows, num_scored
):
    (tmp_path / "mine.csv").write_text("\n".join(["text,mood", *rows, ""]))
    config = config_of(tasks=[messy_task(tmp_path, **source)])
    (one,) = of_files(config, tmp_path / "out", f"mood={tmp_path / 'mine.csv'}")
    assert pd.read_csv(one.written)["id"].tolist() == list(range(num_rows))
    assert (one.num_rows, one.num_scored, not one.scores) == (num_rows, num_scored, num_scored == 0)


def test_how_a_file_s_quotes_are_read_may_differ_from_the_task_s_source(tmp_path):
    """What predict itself has written with the texts is meant as it stands."""
    (tmp_path / "mine.csv").write_text('text,mood\n"a,\nb",dull\n"c",fine\n')
    config, file = config_of(tasks=[messy_task(tmp_path)]), f"mood={tmp_path / 'mine.csv'}"
    with pytest.raises(DataError, match="--quoting"):
        of_files(config, tmp_path / "refused", file)
    files = parse_files([file], config)
    (one,) = predict_files(
        build_model(config), config, files, tmp_path / "out", process=Process(), quoting="minimal", with_text=True
    )
    assert pd.read_csv(one.written)["text"].tolist() == ["a,\nb", "c"]


def test_a_file_that_is_not_there_stops_before_anything_is_written(course, tmp_path):
    good, missing = course / "ids-sst-dev.csv", tmp_path / "nowhere.csv"
    with pytest.raises(DataError, match=rf"^{missing}: no such file"):
        of_files(config_of(tasks=["sst"]), tmp_path / "out", f"sst={good}", f"sst={missing}")
    assert not (tmp_path / "out").exists()


def test_every_mistake_in_the_files_is_reported_at_once():
    config = config_of(tasks=["sst", "quora"])
    with pytest.raises(ConfigError) as caught:
        parse_files(["sst", "quorra=a.csv", "sst=", "sst=one/a.csv", "sst=other/a.csv"], config)
    wanted = ("--file sst: ", "did you mean 'quora'", "--file sst=: ", "sst-a-predictions.csv")
    assert len(caught.value.problems) == len(wanted)
    assert all(part in problem for part, problem in zip(wanted, caught.value.problems, strict=True))


@pytest.mark.parametrize("file_first", [True, False])
def test_a_file_called_dev_and_the_dev_rows_keep_their_predictions_apart(tmp_path, file_first):
    config = config_of(tasks=["sst"])
    save_checkpoint(tmp_path / "checkpoint", build_model(config), config, {})
    (tmp_path / "mine").mkdir()
    mine = write_course(tmp_path / "mine").joinpath("ids-sst-dev.csv").rename(tmp_path / "mine" / "dev.csv")
    asked = [(f"sst={mine}",), ()]
    written: dict[str, bytes] = {}
    for files in asked if file_first else reversed(asked):
        predict_checkpoint(
            PredictionRequest(checkpoint=tmp_path / "checkpoint", files=files), announce=lambda text: None
        )
        now = {path.name: path.read_bytes() for path in (tmp_path / "predictions").iterdir()}
        assert written.items() <= now.items()
        written = now
    assert sorted(written) == ["sst-dev-output.csv", "sst-dev-predictions.csv", "sst-test-output.csv"]


def test_predictions_of_an_earlier_file_of_the_same_name_are_never_overwritten(tmp_path):
    config = config_of(tasks=["sst"])
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_course(tmp_path / name)
    (first,) = of_files(config, tmp_path / "out", f"sst={tmp_path / 'one' / 'ids-sst-dev.csv'}")
    before = first.written.read_bytes()
    with pytest.raises(UserError, match=str(first.written)):
        of_files(config, tmp_path / "out", f"sst={tmp_path / 'other' / 'ids-sst-dev.csv'}")
    assert first.written.read_bytes() == before


@pytest.mark.parametrize(("files", "why"), [(True, "--file names the rows"), (False, "every task of this checkpoint")])
def test_a_data_folder_without_effect_is_reported(tmp_path, files, why):
    rows = "text,mood\n" + "".join(f"day {n},{n % 3}\n" for n in range(6))
    (tmp_path / "rows.csv").write_text(rows)
    source = {"train": "rows.csv", "dev": str(tmp_path / "rows.csv"), "columns": {"sentence1": "text", "label": "mood"}}
    mood = {"name": "mood", "kind": "classification", "num_classes": 3, "source": source}
    config = config_of(tasks=[mood])
    save_checkpoint(tmp_path / "checkpoint", build_model(config), config, {})
    request = PredictionRequest(
        checkpoint=tmp_path / "checkpoint", data=tmp_path, files=(f"mood={tmp_path}/rows.csv",) if files else ()
    )
    with pytest.warns(UserWarning, match=f"^--data has no effect: {why}"):
        predict_checkpoint(request, announce=lambda text: None)


@pytest.fixture
def mood(tmp_path):
    """A task of a user's, with classes by name."""
    rows = "text,mood\n" + "".join(f"day {n},{n % 2}\n" for n in range(6))
    (tmp_path / "rows.csv").write_text(rows)
    source = {"train": str(tmp_path / "rows.csv"), "dev": str(tmp_path / "rows.csv")}
    columns = {"sentence1": "text", "label": "mood"}
    classes = ["so, so", "good"]
    return {"name": "mood", "kind": "classification", "classes": classes, "source": {**source, "columns": columns}}


def test_a_user_s_own_task_gets_names_probabilities_and_a_confusion_table(tmp_path, mood):
    config = config_of(tasks=[mood])
    (tmp_path / "new.csv").write_text("text\nday 5\nday 1\n")
    labeled, new = of_files(config, tmp_path / "out", f"mood={tmp_path / 'rows.csv'}", f"mood={tmp_path / 'new.csv'}")
    table = pd.read_csv(labeled.written)
    assert list(table) == ["id", "label", "prediction", "probability_so, so", "probability_good"]
    assert table["label"].tolist() == ["so, so", "good"] * 3
    assert labeled.scores["accuracy"].value == (table["label"] == table["prediction"]).mean()
    assert labeled.confusion == tmp_path / "out" / "mood-rows-predictions-confusion.csv"
    assert lines_of(labeled)[:2] == [str(labeled.written), str(labeled.confusion)]
    assert (new.confusion, lines_of(new)) == (None, [str(new.written)])
    # Row for row: the same texts get the same predictions, whatever else is in the file.
    again = pd.read_csv(new.written).drop(columns="id")
    pd.testing.assert_frame_equal(again, table.loc[[5, 1], list(again)].reset_index(drop=True), rtol=1e-4)


def test_a_confusion_table_of_other_rows_is_not_left_beside_new_predictions(tmp_path, mood):
    config = config_of(tasks=[mood])
    (first,) = of_files(config, tmp_path / "out", f"mood={tmp_path / 'rows.csv'}")
    first.written.unlink()
    with pytest.raises(UserError, match=str(first.confusion)):
        of_files(config, tmp_path / "out", f"mood={tmp_path / 'rows.csv'}")


def test_texts_without_effect_are_reported(tmp_path, mood):
    config = config_of(tasks=["sst"])
    save_checkpoint(tmp_path / "checkpoint", build_model(config), config, {})
    with pytest.warns(UserWarning, match="^--with-text has no effect"):
        predict_checkpoint(
            PredictionRequest(checkpoint=tmp_path / "checkpoint", with_text=True), announce=lambda text: None
        )


def test_a_class_that_is_new_leaves_its_row_unscored_unless_most_labels_are(tmp_path):
    (tmp_path / "mine.csv").write_text("text,mood\na,dull\nb,grim\nc,fine\n")
    config = config_of(tasks=[messy_task(tmp_path)])
    (one,) = of_files(config, tmp_path / "out", f"mood={tmp_path / 'mine.csv'}")
    assert (one.num_rows, one.num_scored) == (3, 2)
    assert one.note == "3 rows; 1 not scored (no label of the task's: row 2 has 'grim')"
    assert pd.read_csv(one.written, keep_default_na=False)["label"].tolist() == ["dull", "", "fine"]
    for rows in ("a,grim\nb,gray\nc,fine\n", "a,1\nb,2\nc,1\n"):
        (tmp_path / "mine.csv").write_text(f"text,mood\n{rows}")
        with pytest.raises(DataError, match="labels that are not one of the classes"):
            of_files(config, tmp_path / "other", f"mood={tmp_path / 'mine.csv'}")
