"""`mtbert_ray.load` as in a notebook: the predictions of `predict_files`, for any form of rows; and mistakes."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from saved import save_checkpoint

import mtbert_ray
from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.config.checkpoint import parse_files
from mtbert_ray.errors import CheckpointError, DataError, UserError
from mtbert_ray.models.build import build_model
from mtbert_ray.tasks import TaskKind
from mtbert_ray.training.predictions import predict_files
from mtbert_ray.training.process import Process

TEXTS = ["rain", "a long day of sun and of wind", "", "snow", "hail again, and again"]
PAIRS = [("rain", "snow"), ("a", "b"), ("", "wind in the night"), ("sun, all day long", "moon")]


def table(*columns):
    names = dict(zip(("sentence1", "sentence2"), columns, strict=False))
    return {"train": "train.csv", "dev": "dev.csv", "columns": {**names, "label": "label"}}


TASKS = [
    {"name": "topic", "kind": "classification", "classes": ["so, so", "good", "b\nad"], "source": table("text")},
    {"name": "stars", "kind": "regression", "label_range": [1, 5], "source": table("text")},
    {"name": "dup", "kind": "pair_classification", "num_classes": 2, "source": table("one", "two")},
    {"name": "near", "kind": "pair_regression", "label_range": [0, 1], "source": table("one", "two")},
]


@pytest.fixture(scope="module", params=["joint", "separate"])
def checkpoint(request, tmp_path_factory):
    config = TrialConfig.model_validate(
        nest({"encoder": "tiny", "tasks": TASKS, "pair_encoding": request.param, "data.max_length": 24})
    )
    folder = tmp_path_factory.mktemp(request.param)
    save_checkpoint(folder, build_model(config).train(), config, {})
    return folder


@pytest.fixture(scope="module")
def model(checkpoint):
    return mtbert_ray.load(checkpoint, device="cpu")


def test_the_tasks_are_listed(model):
    assert model.tasks["topic"].class_names == ("so, so", "good", "b\nad")
    assert model.tasks["near"].kind is TaskKind.PAIR_REGRESSION
    assert repr(model).startswith("LoadedModel(topic: classification (so, so, good, b\nad); stars: regression;")


def test_predictions_are_those_for_a_file(model, tmp_path):
    for name, columns, rows in (
        ("topic", ["text"], TEXTS[:2]),
        ("stars", ["text"], TEXTS[:2]),
        ("dup", ["one", "two"], PAIRS[:2]),
        ("near", ["one", "two"], PAIRS[:2]),
    ):
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "rows.csv", index=False)
        files = parse_files([f"{name}={tmp_path / 'rows.csv'}"], model.config)
        (done,) = predict_files(build_model(model.config), model.config, files, tmp_path / name, process=Process())
        written = pd.read_csv(done.written, dtype={"prediction": object} if name == "topic" else None)
        got = model.predict({name: rows})[name]
        pd.testing.assert_frame_equal(got, written.drop(columns="id"), check_dtype=False, rtol=1e-6)


def test_all_tasks_at_once_in_order_with_any_batches(model):
    rows = {"near": PAIRS, "topic": TEXTS, "dup": PAIRS, "stars": TEXTS}
    got = model.predict(rows)
    assert list(got) == list(rows)
    for name, one in got.items():
        assert len(one) == len(rows[name])
        alone = [model.predict({name: [row]}, max_tokens=1)[name] for row in rows[name]]
        pd.testing.assert_frame_equal(one, pd.concat(alone, ignore_index=True), rtol=1e-4)
        pd.testing.assert_frame_equal(one, model.predict({name: rows[name]}, max_tokens=30)[name], rtol=1e-4)
    probabilities = got["topic"].filter(regex="^probability_")
    assert list(probabilities) == ["probability_so, so", "probability_good", "probability_b\nad"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert set(got["topic"]["prediction"]) <= set(model.tasks["topic"].classes)
    assert got["dup"]["prediction"].dtype == np.int64
    assert (got["dup"]["prediction"] == got["dup"].filter(regex="^prob").to_numpy().argmax(axis=1)).all()


def test_rows_may_come_in_many_forms(model):
    index = [7, 3, 3, -1, 0]
    expected = model.predict({"topic": TEXTS})["topic"]
    for rows in (
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=index),
        pd.Series(TEXTS, index=index, dtype="string"),
        pd.DataFrame({"n": 1, "text": TEXTS}, index=index),
        pd.DataFrame({"another name": TEXTS}, index=index),
    ):
        got = model.predict({"topic": rows})["topic"]
        assert got.index.tolist() == (index if isinstance(rows, pd.Series | pd.DataFrame) else list(range(5)))
        pd.testing.assert_frame_equal(got.reset_index(drop=True), expected)
    expected = model.predict({"dup": PAIRS})["dup"]
    frame = pd.DataFrame(PAIRS, columns=["one", "two"])
    for rows in (
        [list(pair) for pair in PAIRS],
        np.array(PAIRS),
        pd.Series(PAIRS),
        frame.assign(label=0)[["label", "two", "one"]],
        frame.set_axis(["q1", "q2"], axis=1),
    ):
        pd.testing.assert_frame_equal(model.predict({"dup": rows})["dup"], expected)


@pytest.mark.parametrize("nothing", [[], (), pd.Series([], dtype=object), pd.DataFrame({"text": []})])
def test_no_rows_give_a_table_of_the_same_columns(model, nothing):
    got = model.predict({"topic": nothing})["topic"]
    some = model.predict({"topic": ["a"]})["topic"]
    assert len(got) == 0 and got.dtypes.equals(some.dtypes)
    assert model.predict({}) == {}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"topic": "rain"}, r'^topic: expected a list, as \["a text", \.\.\.\], got a single text$'),
        ({"dup": "ab"}, r'^dup: expected a list, as \[\("a text", "another"\), \.\.\.\], got a single text$'),
        ({"topic": {"a", "b"}}, "^topic: expected a list, .* got a set$"),
        ({"topic": {"text": ["a"]}}, "^topic: expected a list, .* got a dict$"),
        ({"topic": 3}, "^topic: expected a list, .* got a int$"),
        ({"topic": ["a", None]}, r"^topic\[1\] has no text \(None\); give '' for an empty one"),
        ({"topic": pd.Series(["a", np.nan])}, r"^topic\[1\] has no text \(nan\)"),
        ({"topic": pd.Series(["a", None], dtype="string")}, r"^topic\[1\] has no text \(<NA>\)"),
        ({"topic": [5]}, r"^topic\[0\] is no text but a int \(5\)"),
        ({"topic": ["\ud800"]}, r"^topic\[0\] has half a surrogate pair"),
        ({"topic": PAIRS}, r"^topic\[0\] is a tuple \('rain', 'snow'\), but the task takes one sentence; give \["),
        ({"dup": TEXTS}, r"^dup\[0\] is a str \('rain'\), but the task takes pairs; give \["),
        ({"dup": ("a", "b")}, r"^dup\[0\] is a str \('a'\), but the task takes pairs"),
        ({"dup": [("a", "b", "c")]}, r"^dup\[0\] has 3 texts .*, a pair has two"),
        ({"dup": [("a", None)]}, r"^dup\[0\] has no text \(None\)"),
        (
            {"topic": pd.DataFrame({"txet": ["a"], "n": [1]})},
            "needs the column text, and has txet, n; did you mean 'txet'",
        ),
        ({"dup": pd.DataFrame({"one": ["a"], "b": ["b"], "n": [1]})}, "^dup: the DataFrame needs the columns one, two"),
        ({"topik": ["a"]}, r"^no task 'topik'; did you mean 'topic'\? \(topic, stars, dup, near\)$"),
        (["a"], r"^rows must be given by task, as \{'topic': \[\.\.\.\]\}, got a list; the tasks are topic, stars"),
    ],
)
def test_wrong_rows_are_refused(model, rows, expected):
    with pytest.raises(DataError, match=expected):
        model.predict(rows)


def test_every_mistake_is_reported_at_once(model):
    with pytest.raises(DataError) as raised:
        model.predict({"topic": [None] * 5, "nere": [], "stars": TEXTS, "dup": "ab"})
    lines = str(raised.value).splitlines()
    assert [re.split(r"[ :]", line)[0] for line in lines] == ["topic[0]", "topic[1]", "topic[2]", "topic", "no", "dup"]
    assert lines[3] == "topic: 2 more such rows"


def test_a_device_that_is_not_there_and_no_room_for_tokens_are_refused(model, checkpoint):
    for device in ("cuda:99", "mps", "meta"):
        with pytest.raises(UserError, match=f"^device '{device}' is not there; give 'cpu'"):
            mtbert_ray.load(checkpoint, device=device)
    with pytest.raises(UserError, match=r"^device 'gpu' is not known; give 'cpu', 'cuda'"):
        model.predict({"topic": ["a"]}, device="gpu")
    with pytest.raises(UserError, match=r"^max_tokens 0 must be at least 1"):
        model.predict({"topic": ["a"]}, max_tokens=0)


def test_a_folder_that_is_no_checkpoint_is_refused_as_on_the_command_line(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "trial" / "checkpoint").mkdir(parents=True)
    for path in checkpoint.iterdir():
        (tmp_path / "trial" / "checkpoint" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^trial: not a checkpoint itself; give trial.checkpoint$"):
        mtbert_ray.load("trial")
    with pytest.raises(CheckpointError, match=r"^nowhere: no such folder"):
        mtbert_ray.load("nowhere")
    assert mtbert_ray.load("trial/checkpoint").tasks


def test_the_process_is_left_as_it_was(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("MTBERT_RAY_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    before, threads, grad = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    mtbert_ray.load(checkpoint).predict({"topic": TEXTS, "dup": PAIRS})
    assert torch.equal(before, torch.get_rng_state())
    assert (threads, grad) == (torch.get_num_threads(), torch.is_grad_enabled())
    assert not (tmp_path / "cache").exists(), "texts of a notebook are not written to disk"
