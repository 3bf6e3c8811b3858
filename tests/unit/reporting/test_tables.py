import pandas as pd
import pytest

from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.outcome import outcome_of
from mtbert_ray.reporting.tables import front_table, trial_table

COLUMNS = [
    "trial_id",
    "status",
    "adapter.kind",
    "adapter.rank",
    "learning_rate",
    "epochs",
    "sst",
    "quora",
    "sts",
    "dev_score",
    "leaderboard_score",
    "peak_memory_gib",
    "gpu_utilization_mean",
    "gpu_utilization_peak",
    "energy_kj",
    "peak_rss_gib",
    "train_seconds",
    "gpu_seconds",
    "trainable_parameters",
    "trainable_percent",
    "on_front",
]


def test_columns_are_in_the_promised_order(eight_trials):
    columns = list(trial_table(read_journal(eight_trials)).columns)
    assert columns[: len(COLUMNS)] == COLUMNS
    assert len(set(columns)) == len(columns)
    assert {"best_epoch", "epochs_done", "eval_seconds", "train_loss", "reason", "checkpoint"} <= set(columns)


def test_statuses_and_front(eight_trials):
    table = trial_table(read_journal(eight_trials)).set_index("trial_id")
    assert table["status"].to_dict() == {
        **dict.fromkeys(["t0", "t1", "t2", "t3", "t4", "t5"], "finished"),
        "t6": "failed",
        "t7": "interrupted",
    }
    assert table.index[table["on_front"]].tolist() == ["t0", "t1", "t3"]
    assert table["feasible"].isna().tolist() == [False] * 6 + [True] * 2
    assert not table.loc["t4", "feasible"]
    assert not table.loc["t5", "feasible"]  # its constrained memory was not measured


def test_a_trial_still_runs_while_the_sweep_does(sweep):
    sweep.start("t0", adapter__kind="none")
    assert trial_table(read_journal(sweep.folder))["status"].tolist() == ["running"]


def test_a_stopped_trial_keeps_its_numbers_but_is_not_on_the_front(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.9], peak_memory_gib=1.0, stopped="rung 1: dominated")
    table = trial_table(read_journal(sweep.finish()))
    assert table["status"].tolist() == ["finished", "stopped"]
    assert table["on_front"].tolist() == [True, False]
    assert table["dev_score"].tolist() == pytest.approx([0.7, 0.9])
    assert table["reason"].isna().tolist() == [True, False]


def test_what_was_not_measured_is_empty_and_never_zero(eight_trials):
    table = trial_table(read_journal(eight_trials)).set_index("trial_id")
    assert pd.isna(table.loc["t5", "peak_memory_gib"])
    assert table["gpu_utilization_mean"].isna().all()
    assert pd.isna(table.loc["t0", "adapter.rank"])
    assert table["epochs"].isna().all()  # searched, but given to no trial
    assert table["epochs_done"].tolist() == [2, 2, 2, 2, 1, 1, 1, 1]


def test_scores_are_of_the_best_epoch_and_costs_of_the_last(eight_trials):
    row = trial_table(read_journal(eight_trials)).set_index("trial_id").loc["t3"]
    assert row["dev_score"] == pytest.approx(0.65)
    assert row["best_epoch"] == 1
    assert row["train_seconds"] == 20.0


def test_whole_numbers_stay_whole_beside_gaps(eight_trials):
    table = trial_table(read_journal(eight_trials))
    assert str(table["trainable_parameters"].dtype) == "Int64"
    assert "109482240," in table.to_csv(index=False)


def front_of(folder):
    sweep = read_journal(folder)
    return front_table(trial_table(sweep), outcome_of(sweep))


def test_front_table_goes_from_the_best_first_objective_and_marks_the_knee(eight_trials):
    front = front_of(eight_trials)
    assert front["trial_id"].tolist() == ["t0", "t1", "t3"]
    assert front["knee"].tolist() == [False, True, False]
    assert front["on_front"].all()


def test_two_points_have_no_knee(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    assert front_of(sweep.finish())["knee"].tolist() == [False, False]


def test_no_trials_give_a_table_of_columns(sweep):
    table = trial_table(read_journal(sweep.folder))
    assert len(table) == 0
    assert list(table.columns)[: len(COLUMNS)] == COLUMNS
    assert len(front_of(sweep.folder)) == 0


def test_lists_become_json_text_and_unknown_metrics_get_a_column(sweep):
    sweep.trial(
        "t0",
        [0.7],
        peak_memory_gib=3.0,
        shared_gpu=True,
        config={"adapter__kind": "lora", "epochs": 3},
    )
    table = trial_table(read_journal(sweep.finish()))
    assert table["shared_gpu"].tolist() == [True]
    assert table["epochs"].tolist() == [3]


def test_a_whole_number_beyond_64_bits_is_a_number_of_the_table(sweep):
    for trial_id, rate in (("t0", 10**30), ("t1", 1)):
        sweep.trial(trial_id, [0.5], config={"adapter__kind": "none", "learning_rate": rate})
    assert trial_table(read_journal(sweep.finish()))["learning_rate"].tolist() == [1e30, 1]
