import json
import signal
import subprocess
import time

import pandas as pd
import pytest
from command_line import ROOT, TINY_SPACE, command, invoke, options, run

from mtbert_ray.config.file import load_config
from mtbert_ray.journal import read_journal
from mtbert_ray.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.ray

COLUMNS = [
    "trial_id",
    "status",
    "learning_rate",
    "adapter.kind",
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
OVER_THE_LIMIT = "trainable_percent: {direction: minimize, reference: 100, constraint: 50}"
"""An objective whose constraint no trial without an adapter meets."""


def test_a_grid_runs_from_yaml_to_report(tmp_path):
    space_file, out = tmp_path / "space.yaml", tmp_path / "out"
    space_file.write_text(TINY_SPACE.replace("fixed:", f"  {OVER_THE_LIMIT}\nfixed:"))
    done = run("sweep", space_file, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"Report: {out / 'index.html'}" in done.stdout
    assert "4 of 4 trials done" in done.stderr

    sweep = read_journal(out)
    # The scheduler is `fifo`: those that break a constraint run to their end, too, and none is probed.
    assert [(trial.status, trial.probe) for trial in sweep.trials] == [("finished", None)] * 4
    assert sweep.finished is not None and sweep.finished.reason == "completed"
    settings = {(trial.config["learning_rate"], trial.config["adapter"]["kind"]) for trial in sweep.trials}
    assert settings == {(1e-3, "none"), (1e-3, "lora"), (3e-3, "none"), (3e-3, "lora")}

    table = pd.read_csv(out / "trials.csv")
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS
    for name in ("peak_memory_gib", "gpu_utilization_mean", "energy_kj", "gpu_seconds"):
        assert table[name].isna().all(), f"{name} was invented on a machine without a GPU"
    for name in ("peak_rss_gib", "train_seconds", "trainable_parameters"):
        assert (table[name] > 0).all()
    lora = table["adapter.kind"] == "lora"
    assert (table.trainable_percent[~lora] == 100).all() and (table.trainable_percent[lora] < 100).all()
    assert 1 <= table.on_front.sum() == len(pd.read_csv(out / "pareto.csv"))
    assert (out / "space.yaml").read_text() == space_file.read_text()
    for name in ("report.md", "index.html"):
        assert "mtbert_ray.train --config" in (out / name).read_text()
    assert list((out / "figures").glob("*.png"))

    trial = sweep.trials[0]
    _, config = load_checkpoint(out / trial.checkpoint)
    assert config.learning_rate == trial.config["learning_rate"]

    # The command that the report gives for a front point trains the same model again.
    again = invoke("train", "--config", out / "trials" / trial.trial_id / "config.yaml", "--out", tmp_path / "again")
    assert again.exit_code == 0, (again.output, again.exception)
    epochs = [json.loads(line) for line in (tmp_path / "again" / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["train_loss"] for epoch in epochs] == pytest.approx(
        [epoch["train_loss"] for epoch in trial.epochs], rel=1e-4
    )
    refused = invoke("sweep", space_file, "--out", out)
    assert refused.exit_code == 2 and "already holds the journal of a sweep" in refused.stderr


def test_an_interrupt_ends_the_trials_and_still_reports(space_file, tmp_path):
    """With a Ray of its own, as at a terminal; the other signals are in tests/unit/ray_backend."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("sweep", space_file, "--out", out, *options(epochs=400)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    journal = out / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and '"event":"epoch"' in journal.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate(timeout=5)
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 130, stderr
    sweep = read_journal(out)
    assert sweep.finished is not None and sweep.finished.reason == "interrupted"
    assert {trial.status for trial in sweep.trials} == {"stopped"}
    assert all(trial.reason == "interrupted" for trial in sweep.trials)
    assert (out / "index.html").exists()


def test_a_time_budget_ends_the_sweep(space_file, ray_address, tmp_path):
    out = tmp_path / "out"
    long = options(epochs=4000, time_budget_minutes=0.2)
    done = invoke("sweep", space_file, "--out", out, "--address", ray_address, *long)
    assert done.exit_code == 1, (done.output, done.exception)  # No trial finished.
    sweep = read_journal(out)
    assert sweep.finished is not None and sweep.finished.reason == "time_budget"
    assert all(trial.reason == "the time budget was spent" for trial in sweep.trials)


def test_a_dry_run_says_what_would_happen_and_starts_nothing(space_file, tmp_path):
    done = invoke("sweep", space_file, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "trials: 4, " in done.stdout
    assert "a trial needs: 1 x (1 CPU, 0 GPUs)" in done.stdout
    assert "the cluster has: 1 node: " in done.stdout
    assert "rows: sst: 40 train, 30 dev" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
def test_the_peft_space_runs_on_the_course_s_files(real_data_dir, ray_address, tmp_path):
    out = tmp_path / "out"
    small = {"encoder": "tiny", "data.max_train_rows": 64, "data.max_dev_rows": 100, "epochs": 1}
    more = ("--trials", 2, "--address", ray_address, *options(**small, resources__concurrent_trials=1))
    done = invoke("sweep", ROOT / "search_spaces" / "peft.yaml", "--data", real_data_dir, "--out", out, *more)
    assert done.exit_code == 0, (done.output, done.exception)
    sweep = read_journal(out)
    assert [trial.status for trial in sweep.trials] == ["finished"] * 2
    assert any("at most 100 rows a task" in note for note in sweep.started.notes)


def test_tasks_of_the_user_s_own_run_from_relative_files(ray_address, tmp_path, monkeypatch):
    """One's classes and dev rows are found in its one file, once for all trials, and said in journal and report; a
    regression beside it has dev rows of its own. A metric that is an objective is computed by every trial."""
    moods = ["dull", "fair", "fine"]
    rows = "text,mood\n" + "".join(f"a {moods[day % 3]} day {day},{moods[day % 3]}\n" for day in range(120))
    (tmp_path / "rows.csv").write_text(rows + "a day without a mood\n")
    for name, num_rows in (("train", 48), ("dev", 15)):
        grades = "".join(f"walk {walk} of {name},{walk % 7 / 2}\n" for walk in range(num_rows))
        (tmp_path / f"grades-{name}.csv").write_text("text,grade\n" + grades)
    (tmp_path / "own.yaml").write_text(
        "name: own\n"
        "objectives:\n"
        "  dev_score: {direction: maximize, reference: -1}\n"
        "  mood.f1_macro: {direction: maximize, reference: 0}\n"
        "fixed:\n"
        "  encoder: tiny\n"
        "  epochs: 1\n"
        "  tasks:\n"
        "    - {name: mood, kind: classification, template: 'mood of {sentence}',\n"
        "       source: {train: rows.csv, split: {dev: 0.2}, columns: {sentence1: text, label: mood}}}\n"
        "    - {name: walk, kind: regression, label_range: [0, 3],\n"
        "       source: {train: grades-train.csv, dev: grades-dev.csv,\n"
        "                columns: {sentence1: text, label: grade}}}\n"
        "search: {learning_rate: {grid: [1e-3, 3e-3]}}\n"
        "algorithm: grid\n"
        "resources: {concurrent_trials: 1}\n"
    )
    said = [
        "mood: 3 classes from rows.csv: dull, fair, fine",
        "mood train: 120 of 121 rows; 1 left out (no label: row 121); 24 are dev rows",
        "mood dev: 24 of 120 training rows, drawn with seed 0",
    ]
    monkeypatch.chdir(tmp_path)
    planned = invoke("sweep", "own.yaml", "--dry-run")
    assert planned.exit_code == 0, (planned.output, planned.exception)
    assert all(line in planned.stdout for line in said), planned.stdout
    done = invoke("sweep", "own.yaml", "--out", "out", "--address", ray_address)
    assert done.exit_code == 0, (done.output, done.exception)
    sweep = read_journal(tmp_path / "out")
    assert len(sweep.trials) == 2
    table = pd.read_csv(tmp_path / "out" / "trials.csv").set_index("trial_id")
    for trial in sweep.trials:
        assert trial.status == "finished" and 0 <= trial.metrics["mood"] <= 1
        assert trial.config["tasks"][0]["classes"] == sweep.started.space["fixed"]["tasks"][0]["classes"] == moods
        assert 0 <= trial.metrics["mood.f1_macro"] <= 1
        assert all(0 <= epoch["mood.f1_macro"] <= 1 for epoch in trial.epochs)
        assert table.loc[trial.trial_id, "mood.f1_macro"] == pytest.approx(trial.metrics["mood.f1_macro"])
        assert -1 <= trial.metrics["walk"] <= 1, "a correlation over the dev rows of its own file"
        assert table.loc[trial.trial_id, "walk"] == pytest.approx(trial.metrics["walk"])
        config = load_config(tmp_path / "out" / "trials" / trial.trial_id / "config.yaml")
        assert {task.name: task.metrics for task in config.tasks} == {"mood": ("accuracy", "f1_macro"), "walk": ()}
    assert [note.rstrip(".") for note in sweep.started.notes if note.startswith("mood")] == said
    report = (tmp_path / "out" / "report.md").read_text()
    assert all(line in report for line in said)
