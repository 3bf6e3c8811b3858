"""Each of the paper's tables runs from its search space to its report, on a small budget, as its header says."""

import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from command_line import ROOT, invoke
from in_process import run_in_process
from rich.console import Console

from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend.launch import dry_run, launch
from mtbert_ray.reporting.paper_comparison import published_rows
from mtbert_ray.study.request import new_request
from mtbert_ray.trial import Sweep

pytestmark = pytest.mark.ray

PAPER = ROOT / "search_spaces" / "paper"
SMALL = {
    "encoder": "tiny",
    "data.source": "toy",
    "data.max_train_rows": 16,
    "data.max_dev_rows": 16,
    "data.max_length": 32,
    "epochs": 1,
    "smart.steps": 1,
    "resources.num_workers": 1,
    # In the order of the table.
    "resources.concurrent_trials": 1,
}
OPTIONS = tuple(f"{key}={value}" for key, value in SMALL.items())
ON_RAY = 6
"""Runs as a user's sweep does; the others in this process, which saves each worker's import of torch."""
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


def sweep_of(table: int, address: str, *options: str, out: str) -> Sweep:
    request = new_request(PAPER / f"table{table}.yaml", out=Path(out), overrides=(*OPTIONS, *options))
    if table == ON_RAY:
        outcome = launch(request, address=address, verbose=False, console=Console(quiet=True))
        assert outcome.exit_code == 0
    else:
        run_in_process(request)
    return read_journal(Path(out))


@pytest.fixture(scope="module")
def workspace(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the headers of tables 4, 5 and 9 make first: the sample and both first stages."""
    folder = tmp_path_factory.mktemp("paper")
    sample = ["--set", "method=embeddings", "--set", "data.source=toy", "--set", "rows=40"]
    with chdir(folder):
        drawn = invoke("sample", PAPER / "topics.yaml", *sample, "--out", "samples/quora-topics.csv")
        assert drawn.exit_code == 0, (drawn.output, drawn.exception)
        sweep_of(1, ray_address, "experiment=v2", out="reports/paper-v2")
        sweep_of(3, ray_address, out="reports/paper-table3")
        yield folder


def assert_is_compared_with_the_paper(report: str, table: int) -> None:
    """Check that each experiment has the paper's scores and ours in its row, and the config diff below."""
    section = report.partition("\n## Comparison with the paper\n")[2].partition("\n## ")[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in section.splitlines() if "| paper " in line}
    assert list(rows) == EXPERIMENTS[table]
    for published in published_rows(table):
        for task in ("sst", "quora", "sts"):
            assert re.search(rf"\| paper {published.metrics[task]:.3f}, ours -?\d\.\d+ \[", rows[published.experiment])
    assert "encoder tiny (the paper: bert-base-uncased)" in section
    assert "data.max_length 32 (table" in section
    assert ("a sample of quora with method embeddings (" in section) is (table in (4, 5, 9))


@pytest.mark.parametrize("table", EXPERIMENTS)
def test_every_experiment_of_a_table_finishes_and_is_reported(table: int, workspace: Path, ray_address: str):
    out = f"reports/paper-table{table}"
    # In bfloat16 the tiny encoder's [CLS] predicts the same for every row.
    options = ["pooling=mean"] if table == 8 else []
    sweep = read_journal(workspace / out) if table == 3 else sweep_of(table, ray_address, *options, out=out)
    assert [trial.hyperparameters["experiment"] for trial in sweep.trials] == EXPERIMENTS[table]
    assert [trial.config["experiment"] for trial in sweep.trials] == EXPERIMENTS[table]
    assert {trial.status for trial in sweep.trials} == {"finished"}
    assert sweep.started.space["paper_table"] == table
    assert_is_compared_with_the_paper((workspace / out / "report.md").read_text(), table)


@pytest.mark.parametrize("table", EXPERIMENTS)
@pytest.mark.usefixtures("workspace")
def test_a_dry_run_prints_exactly_the_paper_s_experiments(table: int):
    lines = list(dry_run(new_request(PAPER / f"table{table}.yaml", overrides=OPTIONS)))
    experiments = [line.split(" (")[0] for line in lines if line.startswith("experiment: ")]
    assert experiments == [f"experiment: {name}" for name in EXPERIMENTS[table]]
    assert any(line.startswith(f"trials: {len(experiments)}, ") for line in lines)
