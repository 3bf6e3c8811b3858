"""The journal: what was written is read, a torn end is forgiven, a damaged middle is not."""

import json
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import JournalError
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
    as_scalar,
)
from mtbert_ray.journal import JOURNAL_NAME, Journal, read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.trial import final_metrics

CONFIG = TrialConfig(adapter={"kind": "lora"}).model_dump(mode="json")
STARTED = SweepStarted(
    time=1.0,
    name="all",
    space={"search": {"adapter.rank": {"kind": "choice", "values": [2, 8]}}},
    objectives={"dev_score": Objective(direction="maximize", reference=0.4, constraint=0.5, fallback=None)},
    hyperparameters=("adapter.rank", "hidden_layers"),
    tasks=("sst", "quora", "sts"),
    num_trials=None,
    seed=7,
    versions={"torch": "2.13.0"},
    git_revision="abc-dirty",
    hardware={"gpu": None, "cpus": 2, "memory_gib": 7.5, "shared": False},
    notes=("Dev scores come from 30 rows.",),
)


def start(trial_id="t1", at=2.0):
    hyperparameters = {"adapter.rank": 8, "hidden_layers": {"sst": 1, "quora": 0, "sts": 2}}
    return TrialStarted(time=at, trial_id=trial_id, hyperparameters=hyperparameters, config=CONFIG)


def epoch(number=1, trial_id="t1", **metrics):
    return EpochFinished(time=2.0 + number, trial_id=trial_id, metrics={"epoch": number, **metrics})


@pytest.fixture
def journal(tmp_path):
    """Write events into a new journal; return its folder."""

    def write(*events):
        journal = Journal(tmp_path / "sweep")
        for event in events:
            journal.append(event)
        return tmp_path / "sweep"

    return write


def cut(folder, num_bytes):
    path = folder / JOURNAL_NAME
    path.write_bytes(path.read_bytes()[:-num_bytes])


# What was written is read


def test_every_event_is_read_as_it_was_written(journal):
    first = {"dev_score": 0.7, "trainable_parameters": 109_482_240, "peak_memory_gib": None}
    ends = SweepFinished(time=99.0, reason="time_budget")
    folder = journal(
        STARTED,
        start("t1", at=2.0),
        epoch(1, **first),
        start("t2", at=3.0),
        epoch(1, "t2", dev_score=0.1),
        epoch(2, dev_score=0.6),
        TrialFinished(time=10.0, trial_id="t1", checkpoint="trials/t1/checkpoint"),
        TrialStopped(time=11.0, trial_id="t2", reason="too large", checkpoint="trials/t2/checkpoint"),
        start("t3", at=12.0),
        TrialFailed(time=13.0, trial_id="t3", reason="ValueError: no"),
        start("t4", at=14.0),
        ends,
    )
    sweep = read_journal(folder)
    assert sweep.started == STARTED and sweep.finished == ends and not sweep.torn
    t1, t2, t3, t4 = sweep.trials
    assert (t1.status, t1.started, t1.ended, t1.checkpoint) == ("finished", 2.0, 10.0, "trials/t1/checkpoint")
    assert t1.epochs == [{"epoch": 1, **first}, {"epoch": 2, "dev_score": 0.6}]
    assert isinstance(t1.epochs[0]["trainable_parameters"], int)
    assert t1.hyperparameters == start().hyperparameters and t1.config == CONFIG
    assert (t2.status, t2.ended, t2.reason, t2.checkpoint) == ("stopped", 11.0, "too large", "trials/t2/checkpoint")
    assert (t3.status, t3.ended, t3.reason, t3.checkpoint) == ("failed", 13.0, "ValueError: no", None)
    assert (t4.status, t4.ended, t4.epochs, t4.metrics) == ("running", None, [], {})
    assert t1.metrics["dev_score"] == 0.7 and t1.metrics["best_epoch"] == 1


@settings(max_examples=60)
@given(reason=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_reason_of_any_text_stays_on_its_line(tmp_path_factory, reason):
    folder = tmp_path_factory.mktemp("any") / "sweep"
    journal = Journal(folder)
    for event in (STARTED, start(), TrialFailed(trial_id="t1", reason=reason)):
        journal.append(event)
    assert (folder / JOURNAL_NAME).read_bytes().count(b"\n") == 3
    assert read_journal(folder).trials[0].reason == reason


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r\n", "\n"])
def test_a_line_separator_inside_a_reason_ends_no_line(journal, separator):
    reason = f"first{separator}second"
    folder = journal(STARTED, start(), TrialStopped(trial_id="t1", reason=reason), SweepFinished(reason="completed"))
    sweep = read_journal(folder)
    assert sweep.trials[0].reason == reason and not sweep.torn


def test_a_number_that_is_none_is_null(journal):
    folder = journal(STARTED, start(), epoch(1, dev_score=math.nan, train_loss=math.inf))
    assert read_journal(folder).trials[0].epochs == [{"epoch": 1, "dev_score": None, "train_loss": None}]


def test_a_pickled_copy_goes_on_in_the_same_journal(tmp_path):
    journal = Journal(tmp_path)
    journal.append(STARTED)
    pickle.loads(pickle.dumps(journal)).append(start())
    journal.append(SweepFinished(reason="completed"))
    sweep = read_journal(tmp_path)
    assert [trial.trial_id for trial in sweep.trials] == ["t1"] and sweep.finished is not None


def test_an_event_is_on_disk_when_append_returns(tmp_path):
    journal = Journal(tmp_path)
    for count, event in enumerate((STARTED, start(), epoch()), start=1):
        journal.append(event)
        assert len((tmp_path / JOURNAL_NAME).read_bytes().splitlines()) == count


# A torn end is forgiven


def test_a_journal_cut_anywhere_in_its_last_line_is_read_without_it(journal):
    """Also inside a character of several bytes."""
    folder = journal(STARTED, start(), epoch(1, dev_score=0.5), TrialFailed(trial_id="t1", reason="größe 梯度 🙂"))
    path = folder / JOURNAL_NAME
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for end in range(last + 1, len(whole)):
        path.write_bytes(whole[:end])
        sweep = read_journal(folder)
        assert sweep.torn and sweep.trials[0].status == "running", f"cut at byte {end - last}"
        assert sweep.trials[0].epochs == [{"epoch": 1, "dev_score": 0.5}]


def test_a_last_line_of_zeros_is_torn(journal):
    """What a file system may leave of a line after a power cut."""
    folder = journal(STARTED, start())
    with (folder / JOURNAL_NAME).open("ab") as file:
        file.write(b"\0" * 64)
    sweep = read_journal(folder)
    assert sweep.torn and len(sweep.trials) == 1


# A damaged middle, or another file, is not


@pytest.mark.parametrize(
    "damage",
    [b'{"event": "epo', b"", b"null", b"[1]", b'{"event": "epoch"}', b'{"event": "unheard"}', b"\xff\xfe", b"\0\0\0"],
)
def test_a_damaged_line_before_the_last_is_an_error_with_its_number(journal, damage):
    folder = journal(STARTED, start(), epoch(), TrialFinished(trial_id="t1"))
    path = folder / JOURNAL_NAME
    lines = path.read_bytes().split(b"\n")
    lines[2] = damage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError) as caught:
        read_journal(folder)
    assert str(caught.value).startswith(f"{path}, line 3: not an event of a sweep: ")


def test_an_event_with_a_key_of_another_version_is_an_error(journal):
    folder = journal(STARTED, start())
    lines = (folder / JOURNAL_NAME).read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "color": "red"})
    (folder / JOURNAL_NAME).write_text("\n".join(lines))
    with pytest.raises(JournalError, match="line 1: not an event"):
        read_journal(folder)


@pytest.mark.parametrize("event", [epoch(), TrialFinished(trial_id="t1"), TrialFailed(trial_id="t1", reason="x")])
def test_an_event_of_a_trial_that_never_started_is_an_error(journal, event):
    with pytest.raises(JournalError, match=rf"trial t1 \({event.event}\) came before it started"):
        read_journal(journal(STARTED, start("t0"), event))


def test_a_file_that_is_no_journal_is_an_error(tmp_path, journal):
    with pytest.raises(JournalError, match=r"cannot be read: .* Give the folder of a sweep \(its --out\)"):
        read_journal(tmp_path / "nowhere")
    folder = journal(start())
    with pytest.raises(JournalError, match="does not begin with a sweep_started event"):
        read_journal(folder)
    for content in (b"", b"\n", b"name: tiny\n"):
        (folder / JOURNAL_NAME).write_bytes(content)
        with pytest.raises(JournalError, match="does not begin with a sweep_started event"):
            read_journal(folder)


def test_two_sweeps_in_one_journal_are_an_error(journal):
    with pytest.raises(JournalError, match="a second sweep_started event was found"):
        read_journal(journal(STARTED, STARTED))


def test_a_used_folder_is_refused_and_left_alone(journal, tmp_path):
    folder = journal(STARTED)
    before = (folder / JOURNAL_NAME).read_bytes()
    with pytest.raises(JournalError, match="already holds the journal of a sweep; give --out another folder"):
        Journal(folder)
    assert (folder / JOURNAL_NAME).read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(JournalError, match="is a file; give --out a folder"):
        Journal(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# What a trial came to


def test_a_trial_has_the_scores_of_its_best_epoch_and_the_costs_of_its_last():
    epochs = [
        {"epoch": 1, "sst": 0.3, "dev_score": 0.5, "leaderboard_score": 0.6, "train_seconds": 10.0},
        {"epoch": 2, "sst": 0.4, "dev_score": 0.7, "leaderboard_score": 0.8, "train_seconds": 20.0},
        {"epoch": 3, "sst": 0.9, "dev_score": 0.6, "leaderboard_score": 0.9, "train_seconds": 30.0},
    ]
    assert final_metrics(epochs, ["sst"]) == {
        "epoch": 3,
        "sst": 0.4,
        "dev_score": 0.7,
        "leaderboard_score": 0.8,
        "train_seconds": 30.0,
        "best_epoch": 2,
    }


@pytest.mark.parametrize(
    ("dev_scores", "best"),
    [
        ([0.5, 0.5, 0.5], 1),
        ([0.4, 0.5, 0.5], 2),
        ([None, -0.5, None], 2),
        ([None, None], 2),
        ([math.nan, 0.1, 0.2], 3),
        ([0.2, math.nan, 0.1], 1),
        ([-1.0], 1),
    ],
)
def test_ties_go_to_the_earlier_epoch_and_without_any_score_the_latest_is_best(dev_scores, best):
    epochs = [{"epoch": number, "dev_score": score} for number, score in enumerate(dev_scores, start=1)]
    assert final_metrics(epochs, [])["best_epoch"] == best


def test_a_trial_without_an_epoch_has_no_result():
    assert final_metrics([], ["sst"]) == {}


@pytest.mark.parametrize(
    ("value", "cell"),
    [(None, None), (True, True), (3, 3), (0.5, 0.5), ("a", "a"), ([1, "b"], '[1, "b"]'), ({"sst": 1}, '{"sst": 1}')],
)
def test_a_value_of_yaml_is_one_cell(value, cell):
    assert as_scalar(value) == cell


def test_old_names_are_renamed_where_they_stood_and_a_user_s_own_stay(tmp_path):
    """A task may be called `outlook`, as a field of a probe once was."""
    config = {"epochs": 1, "tasks": [{"name": "outlook"}], "adapter": {"initialisation": "default"}}
    lines = [
        STARTED.model_dump(mode="json") | {"hyperparameters": ["adapter.initialisation"], "tasks": ["outlook"]},
        {
            "event": "trial_started",
            "trial_id": "t1",
            "hyperparameters": {"adapter.initialisation": "pissa"},
            "config": config,
        },
        {"event": "probe", "trial_id": "t1", "steps": 5, "metrics": {}, "outlook": {"gpu_utilisation_mean": 5.0}},
        {"event": "epoch", "trial_id": "t1", "metrics": {"epoch": 1, "outlook": 0.8, "outlook.f1": 0.7, "keep": 1.0}},
    ]
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / JOURNAL_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    sweep = read_journal(folder)
    (trial,) = sweep.trials
    assert sweep.started.hyperparameters == ("adapter.initialization",)
    assert (trial.hyperparameters, trial.config["adapter"]) == (
        {"adapter.initialization": "pissa"},
        {"initialization": "default"},
    )
    assert trial.probe.projection == {"gpu_utilization_mean": 5.0}
    assert trial.epochs == [{"epoch": 1, "outlook": 0.8, "outlook.f1": 0.7, "keep": 1.0}]
