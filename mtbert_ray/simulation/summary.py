"""A comparison as a table with advice for the next sweep, and as files."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mtbert_ray.errors import ConfigError
from mtbert_ray.reporting.wording import counted, duration
from mtbert_ray.simulation.compare import Run
from mtbert_ray.simulation.recorded import Recorded, in_words
from mtbert_ray.simulation.recorded_search import RECORDED
from mtbert_ray.simulation.request import Replay

# S runs of one setup, over seeds and problems

_NEARLY_ALL = 0.95
_WIDTH = 160


def run(replay: Replay) -> list[Run]:
    """Simulate, with a progress bar on a terminal."""
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        total = len(replay.problems) * len(replay.setups) * replay.seeds
        bar = progress.add_task("simulating", total=total)
        return replay.run(lambda: progress.advance(bar))


def show(replay: Replay, runs: Sequence[Run]) -> None:
    """Print a heading, a table, and a sentence for each pruner that stopped trials."""
    # The terminal breaks long lines; rich would cut numbers off.
    console = Console(width=max(Console().width, _WIDTH))
    for line in _heading(replay):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(_table(replay, runs))
    for line in _advice(replay, runs):
        console.print(line, highlight=False, soft_wrap=True)


def _heading(replay: Replay) -> Iterator[str]:
    recorded = replay.recorded
    seeds = counted(replay.seeds, "seed")
    if recorded is None:
        yield f"LCBench, {counted(len(replay.problems), 'task')}, {seeds}, budgets in mean full runs."
        yield "Hypervolume in % of that of 20,000 random full runs:"
        return
    left_out = f" Left out: {in_words(recorded.left_out)}." if recorded.left_out else ""
    yield (
        f"{counted(len(recorded.trials), 'whole trial')}: {counted(recorded.total_epochs, 'epoch')}, "
        f"{duration(recorded.total_seconds)} of one worker.{left_out}"
    )
    yield from recorded.notes
    yield f"Hypervolume in % of what all of them reach, by budget in mean full runs; {seeds}:"


def _table(replay: Replay, runs: Sequence[Run]) -> Table:
    """Return a table with a row for each setup: means, and standard deviations over several runs."""
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for name in ("rule", "searcher"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("workers", justify="right")
    for budget in replay.budgets:
        share = "" if replay.recorded is None else f"\n({budget / len(replay.recorded.trials):.0%})"
        shown.add_column(f"{budget:g}{share}", justify="right", no_wrap=True)
    if replay.recorded is not None:
        for name in ("at the\nend", f"{_NEARLY_ALL:.0%}\nafter", "\nepochs", "\nsteps", "wall\ntime"):
            shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("stopped\n(after epoch: trials)")
    for setup in replay.setups:
        of_setup = [run for run in runs if run.setup == setup]
        costs = [] if replay.recorded is None else _costs(of_setup, replay.recorded)
        shown.add_row(
            setup.pruner.name,
            setup.searcher,
            str(setup.workers),
            *(_percent([run.share_at(budget) for run in of_setup]) for budget in replay.budgets),
            *costs,
            _stopped(of_setup),
        )
    return shown


def _advice(replay: Replay, runs: Sequence[Run]) -> Iterator[str]:
    """Yield what each setup that stops trials saves."""
    recorded = replay.recorded
    if recorded is None:
        return
    for setup in replay.setups:
        of_setup = [run for run in runs if run.setup == setup]
        if not any(run.num_stopped for run in of_setup):
            continue
        epochs = fmean(run.epochs for run in of_setup) / recorded.total_epochs
        seconds = fmean(run.seconds for run in of_setup) / recorded.total_seconds
        order = "on the recorded trials" if setup.searcher == RECORDED else f"with {setup.searcher}"
        share = fmean(run.final_share for run in of_setup)
        text = (
            f"{setup.pruner.name} {order}, {counted(setup.workers, 'worker')}, reaches {share:.1%} of the "
            f"final hypervolume with {epochs:.0%} of the epochs and {seconds:.0%} of the workers' time"
        )
        same = (setup.searcher, setup.workers)
        full = [run for run in runs if run.setup.pruner.halving is None]
        full = [run for run in full if (run.setup.searcher, run.setup.workers) == same]
        if full:
            by_then = fmean(run.share_at(seconds * len(recorded.trials)) for run in full)
            text += f"; without stopping it is {by_then:.1%} by then"
        more = math.floor(len(recorded.trials) / seconds)
        yield f"{text}. In the time of {len(recorded.trials)} full runs it would try about {more} trials."


def write(path: Path, replay: Replay, runs: Sequence[Run]) -> None:
    """Write a row for each run: CSV, or JSON that adds the hypervolume after each full run.

    Raises:
        ConfigError: the file cannot be written.
    """
    rows = [_row(replay, run) for run in runs]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            else:
                over_time = [{"spent": run.spent.tolist(), "hypervolume": run.shares.tolist()} for run in runs]
                pairs = zip(rows, over_time, strict=True)
                json.dump({"budgets": replay.budgets, "runs": [{**row, **times} for row, times in pairs]}, file)
    except OSError as error:
        raise ConfigError([f"--output {path}: cannot be written: {error.strerror or error}"]) from error


def _costs(runs: Sequence[Run], recorded: Recorded) -> list[str]:
    reached = [run.reaches(_NEARLY_ALL) for run in runs]
    known = [budget for budget in reached if budget is not None]
    steps = [run.steps for run in runs if run.steps is not None]
    epochs = fmean(run.epochs for run in runs)
    return [
        _percent([run.final_share for run in runs]),
        f"{fmean(known):.1f}" if len(known) == len(runs) else "-",
        f"{epochs:.0f} ({epochs / recorded.total_epochs:.0%})",
        f"{fmean(steps):,.0f}" if len(steps) == len(runs) else "-",
        duration(fmean(run.wall_seconds for run in runs)),
    ]


def _percent(shares_S: Sequence[float]) -> str:
    spread = f" ±{100 * pstdev(shares_S):.0f}" if len(shares_S) > 1 else ""
    return f"{100 * fmean(shares_S):.1f}{spread}"


def _stopped(runs: Sequence[Run]) -> str:
    """Return `9 of 16 (1: 7, 3: 2)`, means over the runs."""
    epochs = sorted({epoch for run in runs for epoch in run.stopped_after})
    counts = [f"{epoch}: {_mean([run.stopped_after.get(epoch, 0) for run in runs])}" for epoch in epochs]
    total = f"{_mean([run.num_stopped for run in runs])} of {_mean([run.num_trials for run in runs])}"
    return f"{total} ({', '.join(counts)})" if counts else total


def _row(replay: Replay, run: Run) -> dict[str, Any]:
    return {
        "rule": run.setup.pruner.name,
        "searcher": run.setup.searcher,
        "workers": run.setup.workers,
        "task": run.problem,
        "seed": run.seed,
        **{f"hypervolume_at_{budget:g}": run.share_at(budget) for budget in replay.budgets},
        "hypervolume_at_end": run.final_share,
        "epochs": run.epochs,
        "steps": run.steps,
        "seconds": run.seconds,
        "wall_seconds": run.wall_seconds,
        "trials": run.num_trials,
        "stopped": run.num_stopped,
    }


def _mean(values_S: Sequence[float]) -> str:
    return f"{fmean(values_S):.1f}".removesuffix(".0")
