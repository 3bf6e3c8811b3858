"""A report of trials without a dev score, and of some that diverged."""

import pandas as pd

from mtbert_ray.events import EpochFinished, TrialFailed
from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.style import with_rows
from mtbert_ray.reporting.tables import trial_table

WHY = {"sts": "every prediction is 2.5", "dev_score": "sts has no pearson: every prediction is 2.5"}
REMEDY = "the trained weights (of a and 3 more) are not finite in epoch 2; a lower learning rate than 1 may help"


def null_trial(sweep, trial_id):
    sweep.start(trial_id, adapter__kind="none")
    metrics = {"epoch": 1, "sst": 0.9, "quora": 0.9, "sts": None, "dev_score": None, "leaderboard_score": None}
    metrics |= {"sst.f1_macro": 0.7, "peak_memory_gib": 0.1, "train_loss": 1.0}
    sweep.journal.append(EpochFinished(time=sweep.clock, trial_id=trial_id, metrics=metrics, undefined=WHY))
    sweep.end(trial_id)


def diverged_trial(sweep, trial_id):
    """Cheap, and good before it diverged: it would be alone on the front."""
    sweep.start(trial_id, adapter__kind="none")
    sweep.epochs(trial_id, [0.99], peak_memory_gib=0.1)
    sweep.clock += 60
    sweep.journal.append(TrialFailed(time=sweep.clock, trial_id=trial_id, reason=REMEDY, kind="diverged"))


def test_neither_is_on_a_front_or_has_a_score(sweep):
    sweep.trial("t0", [0.6], peak_memory_gib=4.0)
    null_trial(sweep, "t1")
    diverged_trial(sweep, "t2")
    record = read_journal(sweep.finish())
    assert [trial.trial_id for trial in outcome_of(record).front] == ["t0"]
    table = trial_table(record).set_index("trial_id")
    assert table["status"].tolist() == ["finished", "finished", "failed (diverged)"]
    assert table["dev_score"].isna().tolist() == [False, True, True]
    assert table["reason"].tolist()[1:] == [f"no dev_score: {WHY['dev_score']}", REMEDY]
    assert table.loc["t1", "sst.f1_macro"] == 0.7 and pd.isna(table.loc["t0", "sst.f1_macro"])


def test_the_pages_have_the_reasons(sweep):
    sweep.trial("t0", [0.6], peak_memory_gib=4.0)
    null_trial(sweep, "t1")
    null_trial(sweep, "t3")
    diverged_trial(sweep, "t2")
    folder = sweep.finish()
    write_report(folder)
    page = (folder / "report.md").read_text()
    assert f"t1, t3: no dev_score: {WHY['dev_score']}." in page
    assert "Failed: 1 (1 diverged)" in page
    assert "failed (diverged)" in page and "| divergence |" in page and REMEDY in page
    assert "could not be compared" not in page
    back = pd.read_csv(folder / "trials.csv", keep_default_na=False, dtype=str).set_index("trial_id")
    assert (back.loc["t1", "dev_score"], back.loc["t2", "dev_score"]) == ("", "")


def test_a_sweep_of_nothing_but_null_scores_has_a_report(sweep):
    for number in range(3):
        null_trial(sweep, f"t{number}")
    assert "no finished trial has a value for every objective" in write_report(sweep.finish()).read_text()


def test_a_trial_without_a_score_gets_a_row_after_those_below_zero(sweep):
    for number in range(21):
        sweep.trial(f"t{number}", [-0.5], peak_memory_gib=7.0)
    null_trial(sweep, "null")
    record = read_journal(sweep.finish())
    assert "null" not in [trial.trial_id for trial in with_rows(record.trials, outcome_of(record))]


def test_figures_name_the_metric_of_a_task(sweep):
    from mtbert_ray.reporting.trial_figures import score_panels

    sweep.start(
        "t0",
        fixed={
            "tasks": [
                "sst",
                {"name": "sts", "kind": "pair_regression", "label_range": [0, 5], "metrics": ["spearman", "mae"]},
            ]
        },
        adapter__kind="none",
    )
    sweep.epochs("t0", [0.5])
    sweep.end("t0")
    panels = score_panels(outcome_of(read_journal(sweep.finish())))
    assert (panels["sst"], panels["sts"]) == ("accuracy", "Spearman rank correlation")
