"""Each of the paper's tables runs from its search space to its report, on a small budget, after the header's commands."""

import os
from pathlib import Path

import pytest
from command_line import ROOT, run

from mtbert_ray.records import SweepRecord, read_journal
from mtbert_ray.tuning.request import SweepRequest, dry_run

pytestmark = pytest.mark.ray

PAPER = ROOT / "search_spaces" / "paper"
SMALL = {
    "encoder": "minilm",
    "data.source": "toy",
    "data.max_train_rows": 16,
    "data.max_dev_rows": 16,
    "data.max_length": 32,
    "epochs": 1,
    "smart.steps": 1,
    "resources.num_workers": 1,
}
OPTIONS = [text for key, value in SMALL.items() for text in ("--set", f"{key}={value}")]
EXPERIMENTS = {
    1: ["v1", "v2"],
    2: [f"smart-{task}-k{steps}" for task in ("sst", "sts") for steps in (1, 250, 500)],
    3: ["v2-smart-sst"],
    4: ["sample", "all-then-heads-on-sample"],
    5: [
        "hl3-lr1e-5-bs16-do0.3-e10",
        "hl6-lr1e-5-bs16-do0.3-e10",
        "hl6-lr2e-5-bs32-do0.3-e10",
        "hl3-lr2e-5-bs32-do0.4-e20",
        "hl6-lr2e-5-bs32-do0.4-e20",
    ],
    6: ["full", "lora-loralib", "dora-peft"],
    7: ["full", "lora-r8", "dora-r8"],
    8: ["full", "lora-r8", "dora-r8", "lora-r2", "dora-r2", "dora-r8-bf16"],
    9: ["v2-smart", "all-then-heads-on-sample", "combined"],
}


def sweep_of(table: int, workspace: Path, *options: object, out: str) -> SweepRecord:
    done = run("sweep", PAPER / f"table{table}.yaml", "--out", out, *OPTIONS, *options, folder=workspace)
    assert done.returncode == 0, done.stderr
    return read_journal(workspace / out)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the headers of tables 4, 5 and 9 make first: the sample and both first stages."""
    folder = tmp_path_factory.mktemp("paper")
    sample = ["--set", "method=embeddings", "--set", "data.source=toy", "--set", "rows=40"]
    drawn = run("sample", PAPER / "topics.yaml", *sample, "--out", "samples/quora-topics.csv", folder=folder)
    assert drawn.returncode == 0, drawn.stderr
    sweep_of(1, folder, "--set", "experiment=v2", out="reports/paper-v2")
    sweep_of(3, folder, out="reports/paper-table3")
    return folder


@pytest.mark.parametrize("table", EXPERIMENTS)
def test_every_experiment_of_a_table_finishes_and_is_reported(table: int, workspace: Path):
    out = f"reports/paper-table{table}"
    sweep = read_journal(workspace / out) if table == 3 else sweep_of(table, workspace, out=out)
    assert {trial.config["experiment"]: trial.status for trial in sweep.trials} == dict.fromkeys(
        EXPERIMENTS[table], "finished"
    )
    assert [trial.hyperparameters["experiment"] for trial in sweep.trials] == EXPERIMENTS[table]
    assert sweep.started.space["paper_table"] == table
    report = (workspace / out / "report.md").read_text()
    assert all(name in report for name in EXPERIMENTS[table])


@pytest.mark.parametrize("table", EXPERIMENTS)
def test_a_dry_run_prints_exactly_the_paper_s_experiments(table: int, workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(workspace)
    lines = dry_run(SweepRequest(space_file=PAPER / f"table{table}.yaml", overrides=tuple(OPTIONS[1::2])))
    experiments = [line.split(" (")[0].removeprefix("experiment: ") for line in lines if "experiment: " in line]
    assert experiments == EXPERIMENTS[table]
    assert any(line.startswith(f"trials: {len(experiments)}, ") for line in lines)
    assert not Path("reports", f"paper-table{table}-dry").exists() and "RAY_ADDRESS" not in os.environ
