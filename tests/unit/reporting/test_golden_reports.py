"""The whole report.md of sweeps that went in unusual ways, as recorded in `golden_reports/`.

`pytest tests/unit/reporting/test_golden_reports.py --update-messages` records them anew; read the diff.
"""

import shutil
from pathlib import Path

import pytest
from old_journals import unseal

from mtbert_ray.events import ProbeFinished, TrialFailed, TrialStarted
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.document import write_report

HERE = Path(__file__).parent
LORA = {"adapter__kind": "lora", "adapter__rank": 8, "learning_rate": 1e-5}
ONE = {"sts": Objective(direction="maximize", reference=0.0)}
FOUR = {
    "dev_score": Objective(direction="maximize", reference=0.4),
    "peak_memory_gib": Objective(direction="minimize", reference=8.0),
    "train_seconds": Objective(direction="minimize", reference=100.0),
    "gpu_utilization_mean": Objective(direction="maximize", reference=20.0, constraint=30.0),
}


def half_written(new):
    sweep = new()
    sweep.trial("t0", [0.6, 0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.5], peak_memory_gib=2.0, config=LORA)
    sweep.start("t2", **LORA)
    sweep.epochs("t2", [0.4], peak_memory_gib=2.0)
    path = sweep.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def failures_only(new):
    sweep = new()
    sweep.trial("t0", [], failed="ValueError: no rows | <b>")
    sweep.trial("t1", [0.5], peak_memory_gib=2.0, config=LORA, failed="RuntimeError: it broke")
    sweep.start("t2", **LORA)
    sweep.epochs("t2", [0.4, 0.3], peak_memory_gib=2.0)
    reason = "epoch 2: the training loss is not finite"
    sweep.journal.append(TrialFailed(time=sweep.clock + 30, trial_id="t2", reason=reason, kind="diverged"))
    sweep.finish()


def one_trial(new):
    sweep = new(num_trials=1)
    sweep.trial("t0", [0.6, 0.7], peak_memory_gib=3.0)
    sweep.finish()


def no_trial(new):
    new().finish("time_budget")


def one_objective(new):
    sweep = new(objectives=ONE, num_trials=None)
    sweep.trial("t0", [0.3, 0.4])
    sweep.trial("t1", [0.5, 0.45], config=LORA)
    sweep.trial("t2", [0.2], config=LORA, stopped="epoch 1: dominated by t0, t1", kind="rung")
    sweep.finish()


def four_objectives(new):
    sweep = new(objectives=FOUR)
    sweep.trial("t0", [0.6, 0.75], peak_memory_gib=4.8, gpu_utilization_mean=90.0)
    sweep.trial("t1", [0.7, 0.73], peak_memory_gib=2.9, gpu_utilization_mean=60.0, config=LORA)
    sweep.trial("t2", [0.5], peak_memory_gib=2.9, gpu_utilization_mean=50.0, config=LORA)
    sweep.trial("t3", [0.8], peak_memory_gib=2.0, gpu_utilization_mean=10.0, config=LORA)
    sweep.trial("t4", [0.8], peak_memory_gib=2.0, gpu_utilization_mean=None, config=LORA)
    sweep.finish()


def crashed(new):
    """Killed, resumed on another machine, and killed again; a trial died and ran again."""
    sweep = new()
    sweep.trial("t0", [0.6, 0.7], peak_memory_gib=3.0)
    sweep.start("t1", **LORA)
    sweep.epochs("t1", [0.4], peak_memory_gib=2.0)
    sweep.resume(after=3600, hardware={"gpu": None, "cpus": 8})
    config = {"hyperparameters": {"adapter.kind": "lora"}, "config": {"epochs": 3, "tasks": [{"name": "sst"}]}}
    config["config"]["tasks"][0]["kind"] = "classification"
    sweep.journal.append(TrialStarted(time=sweep.clock, trial_id="t1", attempt=2, **config))
    sweep.journal.append(TrialFailed(time=sweep.clock + 5, trial_id="t1", reason="its node was lost", kind="died"))
    sweep.start("t2", **LORA)
    costs = {"train_seconds": 3.0, "peak_memory_gib": 7.5}
    sweep.journal.append(
        ProbeFinished(time=sweep.clock + 5, trial_id="t2", steps=20, metrics=costs, projection=costs | {"step": 200})
    )


def early_stopping(new):
    sweep = new()
    sweep.trial("t0", [0.6, 0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.5], peak_memory_gib=3.5, stopped="epoch 1: dominated on both objectives by t0", kind="rung")
    sweep.trial("t2", [], stopped="probe: would need 9.10 GiB, the constraint is 6.00 GiB", kind="constraint")
    sweep.trial("t3", [], stopped="out of memory: CUDA out of memory", kind="memory")
    sweep.trial("t4", [0.5], peak_memory_gib=2.0, config=LORA)
    sweep.finish()


CASES = {
    case.__name__: case
    for case in (
        half_written,
        failures_only,
        one_trial,
        no_trial,
        one_objective,
        four_objectives,
        crashed,
        early_stopping,
    )
}


def check(name, request, markdown):
    path = HERE / "golden_reports" / f"{name}.md"
    if request.config.getoption("--update-messages"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(markdown, encoding="utf-8")
    assert markdown == path.read_text(encoding="utf-8"), f"{path}: run pytest --update-messages if this is meant"


def report_in(folder, monkeypatch):
    """Return the text of the report, with commands that name the folder relative to its parent."""
    monkeypatch.chdir(folder.parent)
    write_report(Path(folder.name))
    return (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_a_sweep_that_went_in_an_unusual_way(name, sweep, request, monkeypatch):
    folder = sweep.folder.parent / name
    CASES[name](lambda **asked: type(sweep)(folder, **asked))
    check(name, request, report_in(folder, monkeypatch))


def test_a_journal_of_old_names(tmp_path, request, monkeypatch):
    (tmp_path / "old_names").mkdir()
    shutil.copy(HERE / "old_sweep" / "journal.jsonl", tmp_path / "old_names")
    check("old_names", request, report_in(tmp_path / "old_names", monkeypatch))


def test_a_journal_without_numbers_and_checksums_gives_the_same_report(sweep, monkeypatch):
    reports = []
    for is_old in (False, True):
        folder = sweep.folder.parent / ("old" if is_old else "new") / "sweep"
        CASES["four_objectives"](lambda folder=folder, **asked: type(sweep)(folder, **asked))
        if is_old:
            unseal(folder)
        reports.append(report_in(folder, monkeypatch))
    assert reports[0] == reports[1]
