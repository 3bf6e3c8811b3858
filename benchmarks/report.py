"""What `python -m mtbert_ray.report` takes for a large sweep: CPU seconds, seconds and peak memory of a fresh process.

Run: OMP_NUM_THREADS=1 python benchmarks/report.py
     OMP_NUM_THREADS=1 python benchmarks/report.py --against ../other-checkout    (the two take turns)

The journal is made up, but as a sweep over `search_spaces/peft.yaml` on GPUs would write it: every metric of an epoch,
a probe of each trial, two thirds of the trials stopped at rungs after a few epochs if `--stopped` is given.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mtbert_ray.events import (
    EpochFinished,
    Event,
    ProbeFinished,
    SweepFinished,
    SweepStarted,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import JOURNAL_NAME
from mtbert_ray.journal_lines import as_line
from mtbert_ray.metrics import task_scores
from mtbert_ray.study.space import SearchSpace, load_search_space
from mtbert_ray.study.space.parameters import RandomSuggest

ROOT = Path(__file__).parents[1]
_START = 1_800_000_000.0
_MEMORY_GIB = {"none": 9.0, "lora": 5.0, "dora": 6.0}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run of the command took."""

    cpu_seconds: float
    seconds: float
    peak_mb: float


def main(
    trials: Annotated[int, typer.Option(min=1)] = 1000,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    stopped: Annotated[bool, typer.Option(help="Two thirds of the trials are stopped early.")] = False,
    against: Annotated[Path | None, typer.Option(help="Root of another checkout.")] = None,
) -> None:
    """Print what a report takes: median, lowest and highest over the rounds."""
    checkouts = {"this": ROOT, **({} if against is None else {"other": against.resolve()})}
    costs: dict[str, list[Cost]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        content = b"".join(
            as_line(event, number)
            for number, event in enumerate(events_of(trials, epochs=epochs, stopped=stopped), start=1)
        )
        (Path(folder) / JOURNAL_NAME).write_bytes(content)
        typer.echo(f"{trials} trials of {epochs} epochs, a journal of {len(content) / 1e6:.1f} MB")
        for _ in range(rounds):
            for name, root in checkouts.items():
                costs[name].append(cost_of_report(Path(folder), root))
    for name, own in costs.items():
        typer.echo(f"{name}: {_summary(own)}")


def events_of(trials: int, *, epochs: int, stopped: bool) -> Iterator[Event]:
    """Yield the events of a sweep, one trial after another."""
    space = load_search_space(
        ROOT / "search_spaces" / "peft.yaml", overrides=["data.directory=data", f"epochs={epochs}"]
    )
    yield SweepStarted(
        time=_START,
        name=space.name,
        space=space.model_dump(mode="json"),
        objectives=space.objectives,
        hyperparameters=space.hyperparameters,
        tasks=tuple(task.name for task in space.tasks),
        num_trials=trials,
        seed=0,
        versions={"torch": "2.13.0"},
        git_revision=None,
        hardware={"gpus": "1 x made up"},
    )
    suggest, rng = RandomSuggest.seeded(0), np.random.default_rng(0)
    for number in range(trials):
        yield from _trial_events(number, space, suggest, rng, num_done=_num_done(number, epochs, stopped=stopped))
    yield SweepFinished(time=_START + 3600.0 * trials, reason="completed")


def _num_done(number: int, epochs: int, *, stopped: bool) -> int:
    return min(epochs, 1 + number % 6) if stopped and number % 3 else epochs


def _trial_events(
    number: int, space: SearchSpace, suggest: RandomSuggest, rng: np.random.Generator, *, num_done: int
) -> Iterator[Event]:
    trial_id, began = f"t{number:03d}", _START + 3600.0 * number
    values = space.sample(suggest)
    config = space.trial_config(values)
    trial: dict[str, Any] = {"trial_id": trial_id}
    yield TrialStarted(time=began, **trial, hyperparameters=dict(values), config=config.model_dump(mode="json"))
    kind, rate = config.adapter.kind, config.learning_rate
    quality = 0.75 - 0.05 * (kind != "none") - 0.03 * abs(np.log10(rate / 1e-4)) + rng.normal(0, 0.01)
    hourly = {"peak_memory_gib": _MEMORY_GIB[kind] + config.batch_size / 32 + rng.normal(0, 0.1)}
    costs = _costs_after(1 / 40, hourly, rng)
    yield ProbeFinished(
        time=began + 60, **trial, steps=24, metrics=costs, projection=_costs_after(config.epochs, hourly, rng)
    )
    for epoch in range(1, num_done + 1):
        scores = {task: quality * (1 - 0.3 / epoch) + rng.normal(0, 0.01) for task in ("sst", "quora", "sts")}
        metrics = {
            **task_scores(config.tasks, scores),
            **_costs_after(epoch, hourly, rng),
            **dict.fromkeys(("train_loss", "train_loss.sst", "train_loss.quora", "train_loss.sts"), 1 / epoch),
            "epoch": epoch,
            "step": 100 * epoch,
        }
        yield EpochFinished(time=began + 300 * epoch, **trial, metrics=metrics)
    kept = f"trials/{trial_id}/checkpoint"
    if num_done == config.epochs:
        yield TrialFinished(time=began + 3500, **trial, checkpoint=kept)
    else:
        reason = f"epoch {num_done}: dominated on both objectives by t000, t003"
        yield TrialStopped(time=began + 3500, **trial, reason=reason, kind="rung", checkpoint=kept)


def _costs_after(epoch: float, fixed: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    seconds = 250 * epoch * (1 + 0.1 * rng.random())
    return {
        **fixed,
        "peak_allocated_gib": 0.8 * fixed["peak_memory_gib"],
        "gpu_utilization_mean": 80 + rng.normal(0, 3),
        "gpu_utilization_peak": 99.0,
        "energy_kj": 0.3 * seconds,
        "gpu_seconds": seconds,
        "peak_rss_gib": 2.0 + rng.random(),
        "cpu_seconds": 1.1 * seconds,
        "train_seconds": seconds,
        "eval_seconds": 0.1 * seconds,
        "trainable_parameters": 294_912,
        "trainable_percent": 0.27,
        "adapter_percent": 0.2,
        "gpu_shared": 0,
    }


def cost_of_report(folder: Path, root: Path) -> Cost:
    """Run the command of a checkout on a sweep's folder."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "mtbert_ray.report", str(folder)],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise typer.Exit(1)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Cost(cpu_seconds=cpu_seconds, seconds=time.monotonic() - began, peak_mb=usage.ru_maxrss / 1024)


def _summary(costs: list[Cost]) -> str:
    return ", ".join(
        f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f}) {unit}"
        for unit, values in (
            ("CPU seconds", [cost.cpu_seconds for cost in costs]),
            ("seconds", [cost.seconds for cost in costs]),
            ("MiB at the peak", [cost.peak_mb for cost in costs]),
        )
    )


if __name__ == "__main__":
    typer.run(main)
