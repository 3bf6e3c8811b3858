"""The progress of a running sweep: a live table on a terminal, one line an event elsewhere. Drawn with rich."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mtbert_ray.events import (
    EpochFinished,
    Event,
    ProbeFinished,
    TrialFailed,
    TrialFinished,
    TrialResumed,
    TrialStarted,
    TrialStopped,
    as_scalar,
)
from mtbert_ray.metrics import METRICS, Metrics, Objective, Objectives
from mtbert_ray.pareto.front import front_mask, hypervolume
from mtbert_ray.pareto.objectives import (
    best_values,
    is_feasible,
    loss_of,
    losses_to_values,
    reference_losses,
    to_losses,
    unreached_references,
)
from mtbert_ray.reporting.wording import counted
from mtbert_ray.schema import one_line
from mtbert_ray.trial import Trial, is_score


@dataclass(kw_only=True)
class SweepProgress:
    """Counts trials and draws them, as an observer of the sweep's events.

    The objectives are as resolved. `num_trials` is None under a time budget alone.
    """

    objectives: Objectives
    tasks: tuple[str, ...]
    num_trials: int | None
    time_budget_seconds: float | None
    console: Console
    num_reruns: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """How many reruns have ended, and how many there are by the present front."""
    running: dict[str, Trial] = field(default_factory=dict)
    done: int = 0
    done_before: int = 0
    """Of these, in earlier sessions."""
    reruns_before: int = 0
    """Reruns that had ended in earlier sessions."""
    stopped: int = 0
    interrupted: set[str] = field(default_factory=set)
    """Trials and reruns that were interrupted and have not started again: they do when the sweep is resumed."""
    failed: int = 0
    _losses: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Of the finished, feasible trials."""
    _best_ended: dict[str, float] = field(default_factory=dict)
    """Objective -> the best value of it among the trials that ended."""
    _printed_unreached: str | None = None
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
            self._count(trial)
        self.done_before = self.done
        self.reruns_before = self.num_reruns()[0]

    def on_event(self, event: Event, trial: Trial | None) -> None:
        """Show an event, with its trial after the event was applied to it; None for an event of the sweep."""
        if trial is None:
            return
        match event:
            case TrialStarted():
                self.running[trial.trial_id] = trial
                self.interrupted.discard(trial.trial_id)
                again = f" again, attempt {trial.attempts}" if trial.attempts > 1 else ""
                self._log(f"{trial.trial_id} started{again}: {_what_runs(trial)}")
            case TrialResumed():
                self._log(f"{trial.trial_id} continues after {counted(event.epoch, 'epoch')}")
            case ProbeFinished():
                costs = [
                    f"{one_line(name)} {_number(value)}"
                    for name in self.objectives
                    if (value := event.projection.get(name)) is not None
                ]
                self._log(f"{trial.trial_id} probe: projected {', '.join(costs) or 'costs were not measured'}")
            case EpochFinished():
                scores = ", ".join(f"{name} {_number(event.metrics.get(name))}" for name in (*self.tasks, "dev_score"))
                self._log(f"{trial.trial_id} epoch {_epoch_of(trial)}: {scores}")
                unreached = self.unreached()
                if unreached not in (None, self._printed_unreached):
                    self._log(str(unreached))
                self._printed_unreached = unreached
            case TrialFinished() | TrialStopped() | TrialFailed():
                self.running.pop(trial.trial_id, None)
                if trial.is_rerun:
                    self._count_rerun(trial)
                else:
                    self._count(trial)
                reasons = "; ".join([*([] if trial.reason is None else [trial.reason]), *trial.without_value])
                status = _status_of(trial)
                line = f"{trial.trial_id} {status}{': ' if reasons else ''}{reasons}. {self.summary()}"
                if trial.status == "failed":
                    self._print(line)  # Above the live table, where it stays: a failure must not be missed.
                else:
                    self._log(line)

    def _count(self, trial: Trial) -> None:
        self._best_ended = best_values(self.objectives, [trial], so_far=self._best_ended)
        if trial.is_interrupted:
            self.interrupted.add(trial.trial_id)
            return
        self.done += 1
        self.failed += trial.status == "failed"
        self.stopped += trial.status == "stopped"
        losses = to_losses(trial.metrics, self.objectives)
        if trial.status == "finished" and losses is not None and is_feasible(trial.metrics, self.objectives):
            self._losses.append(losses)

    def _count_rerun(self, trial: Trial) -> None:
        if trial.is_interrupted:
            self.interrupted.add(trial.trial_id)
        self.failed += trial.status == "failed" and not trial.is_interrupted

    def summary(self) -> str:
        """Return in one line the trials done, failures, time left, the best score, the front's size and its volume."""
        total = "" if self.num_trials is None else f" of {self.num_trials}"
        parts = [f"{self.done}{total} trials done"]
        reruns_done, num_reruns = self.num_reruns()
        if num_reruns:
            parts.append(f"{reruns_done} of {num_reruns} reruns of the front")
        counts = {"stopped early": self.stopped, "interrupted": len(self.interrupted), "failed": self.failed}
        parts += [f"{count} {name}" for name, count in counts.items() if count]
        left = self.seconds_left()
        if left is not None:
            parts.append(f"about {_duration(left)} left")
        parts += self._front_parts()
        self._printed_unreached = self.unreached()
        return f"{', '.join(parts)}{f'; {self._printed_unreached}' if self._printed_unreached else ''}"

    def _front_parts(self) -> list[str]:
        if not self._losses:
            return []
        losses_NM = np.stack(self._losses)
        names = list(self.objectives)
        place = next((place for place, name in enumerate(names) if is_score(name, self.tasks)), 0)
        best = losses_to_values(losses_NM.min(axis=0), self.objectives)[place]
        return [
            f"best {one_line(names[place])} {_number(best)}",
            f"{int(front_mask(losses_NM).sum())} on the front",
            f"volume {self.volume_percent():.3g}% of the reference box",
        ]

    def volume_percent(self) -> float:
        """Return the front's hypervolume in percent of the box from the reference to the best attainable values.

        Where no best attainable value of an objective is known, the best value seen stands for it.
        """
        if not self._losses:
            return 0.0
        losses_NM, reference_M = np.stack(self._losses), reference_losses(self.objectives)
        attainable_M = np.array([_attainable_loss(name, goal) for name, goal in self.objectives.items()])
        # fmin: NaN where nothing is known. A trial may beat a value that was called the best attainable.
        box = float(np.prod(np.maximum(reference_M - np.fmin(attainable_M, losses_NM.min(axis=0)), 0.0)))
        return 100 * hypervolume(losses_NM, reference_M) / box if box else 0.0

    def unreached(self) -> str | None:
        """Return that no trial is better than the reference yet, and in what; none where one is, or without scores."""
        best = best_values(self.objectives, list(self.running.values()), so_far=self._best_ended)
        gaps = [
            f"best {one_line(name)} {_number(value)}, reference {self.objectives[name].reference:g}"
            for name, value in unreached_references(self.objectives, best).items()
        ]
        return f"no trial is better than the reference yet: {'; '.join(gaps)}" if gaps else None

    def seconds_left(self) -> float | None:
        """Return an estimate from the share of epochs done so far; none before the first."""
        elapsed = time.monotonic() - self._started
        budget_left = None if self.time_budget_seconds is None else max(0.0, self.time_budget_seconds - elapsed)
        if self.num_trials is None:
            return budget_left
        running = sum(len(trial.epochs) / trial.num_epochs for trial in self.running.values())
        reruns_done, num_reruns = self.num_reruns()
        # Fewer than before where the front has changed.
        done = self.done - self.done_before + max(0, reruns_done - self.reruns_before) + running
        if done == 0:
            return budget_left
        left = self.num_trials + num_reruns - self.done - reruns_done - running
        trials_left = max(0.0, elapsed * left / done)
        return trials_left if budget_left is None else min(trials_left, budget_left)

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("trial", "epoch", *self.tasks, "dev_score", "hyperparameters"):
            table.add_column(heading, no_wrap=heading != "hyperparameters")
        for trial in list(self.running.values()):
            last: Metrics = trial.epochs[-1] if trial.epochs else {}
            scores = [_number(last.get(name)) for name in (*self.tasks, "dev_score")]
            table.add_row(trial.trial_id, _epoch_of(trial), *scores, _what_runs(trial))
        return Group(table, Text(self.summary(), style="bold"))

    def _log(self, line: str) -> None:
        """Print a line where there is no live table."""
        if self._live is None:
            self._print(line)

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _attainable_loss(name: str, objective: Objective) -> float:
    """Return the best loss that any trial can have; NaN where it is not known."""
    best = objective.attainable
    if best is None and name in METRICS:
        best = METRICS[name].bounds(objective.direction)[1]
    elif best is None:  # A task's score: 1 is the best of every one to be maximized, 0 of every error.
        best = 1.0 if objective.direction == "maximize" else 0.0
    return np.nan if best is None else loss_of(best, objective.direction)


def _what_runs(trial: Trial) -> str:
    """Return a trial's hyperparameters; of a rerun, what it repeats and why."""
    if trial.purpose == "repeat":
        return f"{trial.of} with seed {trial.config['seed']}"
    return f"{trial.of} alone, for its costs" if trial.purpose == "remeasure" else config_text(trial)


def _status_of(trial: Trial) -> str:
    if trial.is_interrupted:
        return "interrupted"
    return "measured" if trial.stop_kind == "remeasured" else trial.status_in_words


def config_text(trial: Trial) -> str:
    """Return a trial's searched hyperparameters in one line."""
    return " ".join(f"{key}={_value(value)}" for key, value in trial.hyperparameters.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(as_scalar(value))


def _epoch_of(trial: Trial) -> str:
    return f"{len(trial.epochs)}/{trial.num_epochs}"


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
