"""Reruns in the report: rows of their own, facts, failures; on no front, and counted among no trials."""

from pathlib import Path

import pandas as pd
import pytest

from mtbert_ray.config import TrialConfig
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.facts import facts_of, last_event_time, notes_of, session_notes
from mtbert_ray.reporting.failures import ended_early
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.tables import front_table, text_table, trial_table

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0),
}
SESSION = {"versions": {"torch": "1"}, "git_revision": None, "hardware": {}}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two trials on the front; of t000 a repeat, one that diverged and a measurement, all of them better or cheaper."""
    journal = Journal(tmp_path / "sweep")
    times = iter(range(10**9, 2 * 10**9, 60))

    def add(event, **fields) -> None:
        journal.append(event(time=next(times), **fields))

    def trial(trial_id: str, score: float, seconds: float, end, of_end: dict, *, num_epochs: int = 2, **fields) -> None:
        config = TrialConfig.model_validate({"tasks": ["sst"], "epochs": 2, "seed": int("-r" in trial_id)})
        values = {"learning_rate": 1e-4 if "t000" in trial_id else 2e-4}
        dumped = config.model_dump(mode="json")
        add(TrialStarted, trial_id=trial_id, hyperparameters=values, config=dumped, **fields)
        for epoch in range(1, num_epochs + 1):
            scores = {"sst": score, "dev_score": score, "train_seconds": seconds * epoch}
            add(EpochFinished, trial_id=trial_id, metrics={"epoch": epoch, "step": epoch, **scores})
        add(end, trial_id=trial_id, **of_end)

    space = {"name": "s", "repeats": 2, "keep_checkpoints": "all"}
    add(
        SweepStarted,
        name="s",
        space=space,
        objectives=OBJECTIVES,
        hyperparameters=("learning_rate",),
        tasks=("sst",),
        num_trials=2,
        seed=0,
        **SESSION,
    )
    trial("t000", 0.5, 1.0, TrialFinished, {})
    trial("t001", 0.6, 2.0, TrialFinished, {})
    of = {"purpose": "repeat", "of": "t000"}
    checkpoint = "trials/t000-r1/checkpoint"
    trial("t000-r1", 0.9, 0.5, TrialFinished, {"checkpoint": checkpoint}, **of)
    trial("t000-r2", 0.1, 0.5, TrialFailed, {"reason": "not finite"}, num_epochs=1, **of)
    add(SweepResumed, num_trials=2, remeasure=True, **{**SESSION, "versions": {"torch": "2"}})
    stopped = {"kind": "remeasured", "reason": "epoch 1: ran alone, for its costs"}
    trial("t000-alone", 0.4, 0.3, TrialStopped, stopped, num_epochs=1, purpose="remeasure", of="t000")
    add(SweepFinished, reason="completed")
    return tmp_path / "sweep"


def test_reruns_have_rows_behind_the_trials_and_are_on_no_front(folder):
    sweep = read_journal(folder)
    whole = trial_table(sweep)
    table = whole.set_index("trial_id")
    assert list(table.index) == ["t000", "t001", "t000-r1", "t000-r2", "t000-alone"]
    assert list(table["purpose"]) == ["search", "search", "repeat", "repeat", "remeasure"]
    assert list(table["of"].fillna("")) == ["", "", "t000", "t000", "t000"]
    assert list(table["on_front"]) == [True, True, False, False, False]
    assert table.loc["t000-r1", "checkpoint"] == "trials/t000-r1/checkpoint"
    assert table.loc["t000-alone", "status"] == "stopped" and pd.isna(table.loc["t000-alone", "feasible"])
    assert list(table.columns)[-4:] == ["purpose", "of", "reason", "checkpoint"]
    assert list(front_table(whole, outcome_of(sweep))["trial_id"]) == ["t001", "t000"]


def test_the_report_is_written_with_them(folder):
    index = write_report(folder)
    read = pd.read_csv(folder / "trials.csv", dtype={"trial_id": str}, keep_default_na=False, na_values=[""])
    assert list(read["purpose"]) == ["search", "search", "repeat", "repeat", "remeasure"]
    assert list(pd.read_csv(folder / "pareto.csv")["trial_id"]) == ["t001", "t000"]
    assert "t000-alone" in index.read_text()


def test_the_page_s_table_has_their_columns_only_where_there_are_any(folder):
    sweep = read_journal(folder)
    table = text_table(trial_table(sweep), outcome_of(sweep))
    assert {"purpose", "of"} <= set(table.headings) and len(table.rows) == 5
    sweep.reruns.clear()
    headings = text_table(trial_table(sweep), outcome_of(sweep)).headings
    assert not {"purpose", "of"} & set(headings)


def test_they_are_counted_apart(folder):
    sweep = read_journal(folder)
    facts = dict(facts_of(sweep))
    assert (facts["finished"], facts["failed"]) == ("2", "0")
    assert (facts["repeats"], facts["measured alone"]) == ("1 finished, 1 failed", "1 finished")
    assert "epochs trained" not in facts, "nothing of the search was stopped"
    assert last_event_time(sweep) == sweep.finished.time
    (note,) = session_notes(sweep)
    assert "torch 2 (was 1)" in note and "of t000-alone are not comparable" in note
    assert not any("deleted" in text for text in notes_of(outcome_of(sweep)))


def test_a_failed_repeat_has_its_reason_and_a_measurement_is_no_stopped_trial(folder):
    sweep = read_journal(folder)
    assert [(one.trial_id, one.reason) for one in ended_early(sweep, "failed")] == [("t000-r2", "not finite")]
    assert ended_early(sweep, "stopped") == ()
    assert [trial.trial_id for trial in sweep.repeats_of("t000")] == ["t000-r1"]
    assert sweep.remeasurement_of("t000").projection["train_seconds"] == pytest.approx(0.6)
