"""Hypervolume by budget of searchers and stopping rules on LCBench, with 1, 8 and 64 asynchronous workers.

Run: python benchmarks/scheduling.py --half held-out --workers 1 --workers 8 --workers 64

Everything was tuned on the tuning half alone. Budgets are in mean full runs of the task; the table has means over
tasks and seeds, and standard deviations after +-. `worse at` is the share of runs that are below random search with
the same seed by more than .02, budget by budget, their mean, and at any of the budgets; `half beats` the share in which
half a budget is above random search with all of it (25 against 50, and 50 against 100).

Syne Tune's own MOASHA is compared where it is installed: pip install --no-deps syne-tune==0.16.0 and what it then says
is missing.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from mtbert_ray.errors import UserError
from mtbert_ray.metrics import Metrics
from mtbert_ray.simulation.clock import simulate
from mtbert_ray.simulation.lcbench import NUM_EPOCHS, OBJECTIVES, Benchmark, Task
from mtbert_ray.simulation.pruners import pruners_of
from mtbert_ray.study.pruning.decision import Decision, Pruner
from mtbert_ray.study.pruning.rungs import HalvingConfig, rung_levels

# R runs, B budgets

TUNING_TASKS = (
    *("3945", "34539", "126026", "146212", "167149", "167161", "167181", "167185", "167200"),
    *("168329", "168331", "168868", "168910", "189862", "189866", "189905", "189908"),
)
"""Every other task in the order of their numbers; the rest is held out."""
BUDGETS = (10.0, 25.0, 50.0, 100.0)
EPOCHS = (*rung_levels(1, 3.0, NUM_EPOCHS), NUM_EPOCHS)
"""Where something may be decided: the rungs of all rules, and the end."""
_DEFAULT_FOLDER = Path(os.environ.get("BENCH_DIR", Path(__file__).resolve().parents[2] / "shared" / "bench"))
_TOLERANCE = 0.02
_SYNE_TUNE = "random, Syne Tune's MOASHA"


class SyneTune:
    """Syne Tune's own MOASHA, asked as its tuner would."""

    def __init__(self) -> None:
        # Not a dependency: the method is left out where these are missing.
        from syne_tune.config_space import uniform
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

        self._moasha = MOASHA(
            {"unused": uniform(0, 1)}, metrics=["error", "log_time"], time_attr="epoch", max_t=NUM_EPOCHS
        )
        self._trials: dict[str, Any] = {}

        self.decisions: dict[str, Decision] = {}

    def prune(self, trial: str, resource: float, metrics: Metrics) -> Decision | None:
        """Pass the result on."""
        from datetime import datetime

        from syne_tune.backend.trial_status import Trial

        if trial not in self._trials:
            self._trials[trial] = Trial(
                trial_id=int(trial.removeprefix("t")), config={}, creation_time=datetime.fromtimestamp(0)
            )
            self._moasha.on_trial_add(self._trials[trial])
        if self._moasha.on_trial_result(self._trials[trial], dict(metrics)) != "STOP":
            return None
        self.decisions[trial] = Decision(trial=trial, reason="behind", resource=resource)
        return self.decisions[trial]

    def end(self, trial: str, resource: float, metrics: Metrics, *, finished: bool) -> None:
        """Do nothing: its last rung is before the end."""

    def overrule(self, trial: str) -> None:
        """Do nothing: no journal is replayed here."""

    def forget(self, trial: str) -> None:
        """Do nothing: no trial fails here."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A searcher and the pruner that goes with it."""

    algorithm: str
    pruner: Callable[[int], Pruner | None]
    """Seed -> a new pruner."""


def _pruner(name: str) -> Callable[[int], Pruner | None]:
    pruner = pruners_of(OBJECTIVES, HalvingConfig())[name]
    return lambda seed: pruner.start(seed=seed, max_epochs=NUM_EPOCHS)


METHODS: dict[str, Method] = {
    "random": Method(algorithm="random", pruner=_pruner("fifo")),
    "random, error-only halving": Method(algorithm="random", pruner=_pruner("asha:error")),
    "random, epsilon-net": Method(algorithm="random", pruner=_pruner("epsilon_net")),
    _SYNE_TUNE: Method(algorithm="random", pruner=lambda seed: SyneTune()),
    "random, our rule": Method(algorithm="random", pruner=_pruner("pareto")),
    "tpe, our rule": Method(algorithm="tpe", pruner=_pruner("pareto")),
    "front, no stopping": Method(algorithm="front", pruner=_pruner("fifo")),
    "front, epsilon-net": Method(algorithm="front", pruner=_pruner("epsilon_net")),
    "front, our rule (default)": Method(algorithm="front", pruner=_pruner("pareto")),
}


def main(
    folder: Annotated[Path, typer.Option(help="Holds lcbench/; or $BENCH_DIR.")] = _DEFAULT_FOLDER,
    half: Annotated[Literal["tuning", "held-out"], typer.Option(help="Which tasks.")] = "tuning",
    workers: Annotated[list[int] | None, typer.Option(help="Trials at once; may be given several times.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs a task.")] = 2,
    methods: Annotated[list[str] | None, typer.Option("--method", help="Beside random; all if not given.")] = None,
    num_tasks: Annotated[
        int | None, typer.Option("--tasks", min=1, help="The first so many; all if not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Every run's volumes, as JSON.")] = None,
) -> None:
    """Print a table for each number of workers."""
    try:
        benchmark = Benchmark(folder)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    names = [name for name in benchmark.names if (name in TUNING_TASKS) == (half == "tuning")][:num_tasks]
    tasks = [benchmark.task(name, EPOCHS) for name in names]
    chosen = {"random": METHODS["random"]} | {name: METHODS[name] for name in _known(methods or list(METHODS))}
    everything = {}
    for count in workers or [1]:
        volumes = {}
        typer.echo(f"\n{half} half, {len(tasks)} tasks, {seeds} seeds, {count} workers")
        at = " ".join(f"{budget:g}" for budget in BUDGETS)
        typer.echo(_row("method", *(f"{budget:g}" for budget in BUDGETS), "half beats", f"worse at {at}, mean, any"))
        for name, method in chosen.items():
            volumes[name] = _volumes(method, tasks, seeds, count)
            typer.echo(_summary(name, volumes[name], volumes["random"]))
        everything[count] = {name: array.tolist() for name, array in volumes.items()}
    if output is not None:
        output.write_text(json.dumps({"half": half, "tasks": names, "budgets": BUDGETS, "volumes": everything}))


def _known(names: Sequence[str]) -> list[str]:
    """Return the methods that can be run here, and print which cannot."""
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise typer.BadParameter(f"no method {', '.join(unknown)}; there are {'; '.join(METHODS)}")
    left_out = _SYNE_TUNE in names and find_spec("syne_tune") is None
    if left_out:
        typer.echo(f"left out: {_SYNE_TUNE} (syne_tune is not installed)")
    return [name for name in names if not (left_out and name == _SYNE_TUNE)]


def _volumes(method: Method, tasks: list[Task], seeds: int, workers: int) -> NDArray[np.float64]:
    """Return the volumes `(R, B)`, one seed after the other for each task."""
    return np.array([_run(method, task, seed, workers) for task in tasks for seed in range(seeds)])


def _run(method: Method, task: Task, seed: int, workers: int) -> list[float]:
    begun = task.start(method.algorithm, seed, lambda: method.pruner(seed))
    outcome = simulate(
        begun.study,
        begun.curve_of,
        begun.clock,
        workers=workers,
        mean_seconds=task.mean_seconds,
        budget=BUDGETS[-1],
    )
    return outcome.volumes(task.volume, BUDGETS)


def _summary(name: str, volumes_RB: NDArray[np.float64], random_RB: NDArray[np.float64]) -> str:
    means = (
        f"{mean:.3f} +-{spread:.2f}"
        for mean, spread in zip(volumes_RB.mean(axis=0), volumes_RB.std(axis=0), strict=True)
    )
    worse_RB = volumes_RB < random_RB - _TOLERANCE
    by_budget = " ".join(f"{share:.1%}" for share in worse_RB.mean(axis=0))
    half_50, half_100 = ((volumes_RB[:, at] > random_RB[:, at + 1]).mean() for at in (1, 2))
    worse = f"{by_budget}, {worse_RB.mean():.1%}, {worse_RB.any(axis=1).mean():.1%}"
    return _row(name, *means, f"{half_50:.0%} {half_100:.0%}", worse)


def _row(name: str, *cells: str) -> str:
    return f"{name:28}" + "".join(f"{cell:>13}" for cell in cells[:-1]) + f"   {cells[-1]}"


if __name__ == "__main__":
    typer.run(main)
