"""What the Pareto scheduler saves on a real sweep against running every trial to its end, with the same trials.

Run: python benchmarks/early_stopping.py --data DIR --out DIR       (DIR: the course's files; a new folder)
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objectives
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import is_feasible, reference_losses, to_losses
from mtbert_ray.trial import Sweep, Trial

SPACE = Path(__file__).with_name("early_stopping.yaml")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one of the two sweeps took and reached."""

    steps: int
    epochs: int
    finished: int
    minutes: float
    volume: float


def result_of(sweep: Sweep) -> Result:
    """Sum a sweep up."""
    assert sweep.finished is not None, "the sweep was cut off"
    finished = [trial for trial in sweep.trials if trial.status == "finished"]
    return Result(
        steps=sum(map(steps_of, sweep.trials)),
        epochs=sum(len(trial.epochs) for trial in sweep.trials),
        finished=len(finished),
        minutes=(sweep.finished.time - sweep.started.time) / 60,
        volume=volume_of(finished, sweep.started.objectives),
    )


def volume_of(trials: Sequence[Trial], objectives: Objectives) -> float:
    """Return the hypervolume of finished trials."""
    losses = [
        losses
        for trial in trials
        if is_feasible(trial.metrics, objectives) and (losses := to_losses(trial.metrics, objectives)) is not None
    ]
    return hypervolume(np.array(losses), reference_losses(objectives))


def kept_share(fifo: Sweep, pareto: Sweep) -> float:
    """Return the share of the volume that lies in the trials which the scheduler let finish, all measured in one sweep.

    The same trial takes more CPU time beside a busier neighbor; here that cancels.
    """
    names = {trial.trial_id for trial in pareto.trials if trial.status == "finished"}
    kept = [trial for trial in fifo.trials if trial.trial_id in names]
    objectives = fifo.started.objectives
    return volume_of(kept, objectives) / volume_of(fifo.trials, objectives)


def steps_of(trial: Trial) -> int:
    """Return the steps that a trial took before its last report."""
    if trial.epochs:
        return int(trial.epochs[-1]["step"] or 0)
    return 0 if trial.probe is None else trial.probe.steps


def main(
    data: Annotated[Path, typer.Option(help="Folder of the course's files.")],
    out: Annotated[Path, typer.Option(help="Where the two sweeps go, as fifo/ and pareto/.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As of a sweep.")] = None,
) -> None:
    """Run both sweeps and print the comparison."""
    sweeps = {}
    for scheduler in ("pareto", "fifo"):
        command = [sys.executable, "-m", "mtbert_ray.sweep", SPACE, "--data", data, "--out", out / scheduler]
        options = [*(set_ or []), f"scheduler={scheduler}"]
        subprocess.run([*command, *(word for option in options for word in ("--set", option))], check=True)
        sweeps[scheduler] = read_journal(out / scheduler)
    # Two that begin at the same time may do so in either order.
    settings = [{trial.trial_id: trial.hyperparameters for trial in sweep.trials} for sweep in sweeps.values()]
    assert settings[0] == settings[1], "the two sweeps must try the same settings"
    results = {name: result_of(sweep) for name, sweep in sweeps.items()}
    typer.echo(f"{'':8}{'finished':>10}{'epochs':>8}{'steps':>8}{'minutes':>9}{'hypervolume':>13}")
    for name, one in results.items():
        typer.echo(f"{name:8}{one.finished:10}{one.epochs:8}{one.steps:8}{one.minutes:9.1f}{one.volume:13.4f}")
    fifo, pareto = results["fifo"], results["pareto"]
    kept = kept_share(sweeps["fifo"], sweeps["pareto"])
    typer.echo(
        f"pareto: {pareto.steps / fifo.steps:.1%} of the steps, {pareto.volume / fifo.volume:.1%} of the volume; the "
        f"trials that it let finish have {kept:.1%} of it as fifo measured them"
    )


if __name__ == "__main__":
    typer.run(main)
