"""What a running sweep shows: a live table on a terminal, one line an event elsewhere. Uses rich; knows no Ray."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtbert_ray.events import as_scalar
from mtbert_ray.metrics import Metrics, Objectives
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.pareto.objectives import (
    best_values,
    is_feasible,
    reference_losses,
    to_losses,
    unreached_references,
)
from mtbert_ray.schema import one_line
from mtbert_ray.trial import Trial


@dataclass(kw_only=True)
class SweepProgress:
    """Counts and draws. Fed by the sweep, never asked by it.

    Args:
        objectives: as resolved, for the hypervolume.
        tasks: names, for the scores.
        num_trials: trials planned; none under a time budget alone.
        time_budget_seconds: none without one.
        console: where to draw.
    """

    objectives: Objectives
    tasks: tuple[str, ...]
    num_trials: int | None
    time_budget_seconds: float | None
    console: Console
    running: dict[str, Trial] = field(default_factory=dict)
    done: int = 0
    done_before: int = 0
    """Of these, in earlier sessions."""
    stopped: int = 0
    failed: int = 0
    _losses: list[npt.NDArray[np.float64]] = field(default_factory=list)
    _best_ended: dict[str, float] = field(default_factory=dict)
    """Objective -> the best value of it among the trials that ended."""
    _said_unreached: str | None = None
    _started: float = field(default_factory=time.monotonic)
    _live: Live | None = None

    def __enter__(self) -> "SweepProgress":
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._draw, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def count_earlier(self, trials: Iterable[Trial]) -> None:
        """Count trials that ended in an earlier session."""
        for trial in trials:
            self.done_before += 1
            self._count(trial)

    def trial_started(self, trial: Trial) -> None:
        """Add a running trial; its record is kept up to date by whoever made it."""
        self.running[trial.trial_id] = trial
        self._say(f"{trial.trial_id} started: {config_text(trial)}")

    def probe_finished(self, trial_id: str, projection: Metrics) -> None:
        """Show what a trial's whole run would cost."""
        costs = [
            f"{one_line(name)} {_number(projection[name])}"
            for name in self.objectives
            if projection.get(name) is not None
        ]
        self._say(f"{trial_id} probe: the whole run would take {', '.join(costs) or 'nothing that is measured'}")

    def epoch_finished(self, trial_id: str, metrics: Metrics) -> None:
        """Show an epoch that has been appended to the trial's record."""
        self._say(f"{trial_id} epoch {_epoch_of(self.running[trial_id])}: {self._scores(metrics)}")
        unreached = self.unreached()
        if unreached not in (None, self._said_unreached):
            self._say(f"{unreached}")
        self._said_unreached = unreached

    def trial_ended(self, trial_id: str) -> None:
        """Count a trial whose record says that it finished, was stopped or failed."""
        trial = self.running.pop(trial_id)
        self._count(trial)
        reasons = [*([] if trial.reason is None else [trial.reason]), *trial.without_value]
        outcome = ": ".join([trial.status_in_words, *(["; ".join(reasons)] if reasons else [])])
        line = f"{trial_id} {outcome}. {self.summary()}"
        if trial.status == "failed":
            self._print(line)  # Above the live table, where it stays: a failure must not be missed.
        else:
            self._say(line)

    def _count(self, trial: Trial) -> None:
        self.done += 1
        self._best_ended = best_values(self.objectives, [trial], so_far=self._best_ended)
        self.failed += trial.status == "failed"
        self.stopped += trial.status == "stopped" and trial.stop_kind not in (None, "sweep")
        losses = to_losses(trial.metrics, self.objectives)
        if trial.status == "finished" and losses is not None and is_feasible(trial.metrics, self.objectives):
            self._losses.append(losses)

    def summary(self) -> str:
        """Return trials done, failures, time left and the hypervolume, in one line."""
        total = "" if self.num_trials is None else f" of {self.num_trials}"
        parts = [f"{self.done}{total} trials done"]
        if self.stopped:
            parts.append(f"{self.stopped} stopped early")
        if self.failed:
            parts.append(f"{self.failed} failed")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"about {_duration(left)} left")
        parts.append(f"hypervolume {self.hypervolume():.4g}")
        self._said_unreached = self.unreached()
        unreached = f"; {self._said_unreached}" if self._said_unreached else ""
        return f"{', '.join(parts)}{unreached}"

    def unreached(self) -> str | None:
        """Return that no trial is better than the reference yet, and in what; none where one is, or without scores."""
        best = best_values(self.objectives, list(self.running.values()), so_far=self._best_ended)
        gaps = [
            f"best {one_line(name)} {_number(value)}, reference {self.objectives[name].reference:g}"
            for name, value in unreached_references(self.objectives, best).items()
        ]
        return f"no trial is better than the reference yet: {'; '.join(gaps)}" if gaps else None

    def hypervolume(self) -> float:
        """Return the hypervolume of the finished, feasible trials, in the product of the objectives' units."""
        if not self._losses:
            return 0.0
        return hypervolume(np.stack(self._losses), reference_losses(self.objectives))

    def seconds_left(self) -> float | None:
        """Return an estimate from the share of epochs done so far; none before the first."""
        elapsed = time.monotonic() - self._started
        budget_left = None if self.time_budget_seconds is None else max(0.0, self.time_budget_seconds - elapsed)
        if self.num_trials is None:
            return budget_left
        running = sum(len(trial.epochs) / int(trial.config["epochs"]) for trial in self.running.values())
        done = self.done - self.done_before + running
        if done == 0:
            return budget_left
        trials_left = max(0.0, elapsed * (self.num_trials - self.done - running) / done)
        return trials_left if budget_left is None else min(trials_left, budget_left)

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("trial", "epoch", *self.tasks, "dev_score", "setting"):
            table.add_column(heading, no_wrap=heading != "setting")
        for trial in list(self.running.values()):
            last: Metrics = trial.epochs[-1] if trial.epochs else {}
            scores = [_number(last.get(name)) for name in (*self.tasks, "dev_score")]
            table.add_row(trial.trial_id, _epoch_of(trial), *scores, config_text(trial))
        return Group(table, Text(self.summary(), style="bold"))

    def _scores(self, metrics: Metrics) -> str:
        return ", ".join(f"{name} {_number(metrics.get(name))}" for name in (*self.tasks, "dev_score"))

    def _say(self, line: str) -> None:
        """Print a line where there is no live table to change."""
        if self._live is None:
            self._print(line)

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def config_text(trial: Trial) -> str:
    """Return a trial's searched values in one line."""
    return " ".join(f"{key}={_value(value)}" for key, value in trial.hyperparameters.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(as_scalar(value))


def _epoch_of(trial: Trial) -> str:
    return f"{len(trial.epochs)}/{trial.config['epochs']}"


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
