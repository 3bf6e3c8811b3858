"""What events make known of a trial and of a sweep: the one reducer of live sweeps, resumed ones and reports.

Some 330 lines, not split: each event is applied to the sweep and to its trial, and is read best at one place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mtbert_ray.errors import JournalError
from mtbert_ray.events import (
    RUNS_AGAIN,
    EpochFinished,
    Event,
    FailureKind,
    ProbeFinished,
    Purpose,
    StopKind,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialResumed,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.metrics import MEAN_SCORES, Metrics, MetricValue, project
from mtbert_ray.task_metrics import in_words

TrialEvent = TrialStarted | TrialResumed | ProbeFinished | EpochFinished | TrialFinished | TrialStopped | TrialFailed


@dataclass(kw_only=True)
class Trial:
    """One trial, as its events have it."""

    trial_id: str
    hyperparameters: dict[str, Any]
    """The searched keys that apply to it, dotted."""
    config: dict[str, Any]
    """The whole TrialConfig."""
    started: float
    """Of its first attempt, in seconds since the epoch."""
    purpose: Purpose = "search"
    of: str | None = None
    """Of a rerun, the trial of the search whose config it has."""
    attempts: int = 1
    evictions: int = 0
    """Attempts that ran out of memory which others held."""
    continued_from: int | None = None
    """Epochs that the saved state of its last attempt had, once that has reported it."""
    status: Literal["running", "finished", "stopped", "failed"] = "running"
    """A trial that still runs in the journal of a sweep that ended was interrupted with it."""
    ended: float | None = None
    probe: ProbeFinished | None = None
    epochs: list[dict[str, MetricValue]] = field(default_factory=list)
    checkpoint: str | None = None
    reason: str | None = None
    stop_kind: StopKind | None = None
    failure_kind: FailureKind | None = None
    gpu_problem: str | None = None
    undefined: dict[int, dict[str, str]] = field(default_factory=dict)
    """Place of an epoch in `epochs` -> its scores that are null -> why; not of epochs that have them all."""

    @classmethod
    def started_by(cls, event: TrialStarted) -> "Trial":
        """Return the trial that an event starts."""
        return cls(
            trial_id=event.trial_id,
            hyperparameters=dict(event.hyperparameters),
            config=dict(event.config),
            started=event.time,
            purpose=event.purpose,
            of=event.of,
        )

    def apply(self, event: TrialEvent) -> None:
        """Take in what happened to it since it started."""
        match event:
            case TrialStarted():
                self.attempts, self.continued_from = event.attempt, None
                self.status, self.ended, self.checkpoint = "running", None, None
                self.reason = self.stop_kind = self.failure_kind = None
            case TrialResumed():
                self.continued_from = event.epoch
                if self.starts_over(event):
                    self.epochs, self.undefined = [], {}
            case ProbeFinished():
                self.probe = event
                self.gpu_problem = event.gpu_problem or self.gpu_problem
            case EpochFinished():
                if event.undefined:
                    self.undefined[len(self.epochs)] = event.undefined
                self.epochs.append(event.metrics)
                self.gpu_problem = event.gpu_problem or self.gpu_problem
            case TrialFinished():
                self.status, self.ended, self.checkpoint = "finished", event.time, event.checkpoint
            case TrialStopped():
                self.status, self.ended, self.checkpoint = "stopped", event.time, event.checkpoint
                self.reason, self.stop_kind = event.reason, event.kind
            case TrialFailed():
                self.status, self.ended = "failed", event.time
                self.reason, self.failure_kind = event.reason, event.kind
                self.evictions += event.kind == "memory_taken"

    def starts_over(self, event: TrialResumed) -> bool:
        """Whether an attempt lacks what earlier ones reported. The last epoch may run again: its result is known."""
        return event.epoch < min(self.num_done, self.num_epochs - 1)

    @property
    def num_epochs(self) -> int:
        """Epochs of the full run."""
        return int(self.config["epochs"])

    @property
    def num_done(self) -> int:
        """Epochs done, as the last event of one counts them."""
        return self.epoch_at(-1) if self.epochs else 0

    def epoch_at(self, place: int) -> int:
        """Return the number of the epoch at a place of `epochs`, from 1."""
        number = self.epochs[place].get("epoch")
        return place % len(self.epochs) + 1 if number is None else int(number)

    @property
    def is_interrupted(self) -> bool:
        """Whether nothing of its own ended it, but its sweep's end or the death of its process or node."""
        if self.status == "stopped":
            return self.stop_kind == "sweep"
        return self.status == "running" or self.failure_kind in RUNS_AGAIN

    @property
    def runs_alone(self) -> bool:
        """Whether no other trial may run beside it: it is to be measured so, or others took its memory repeatedly."""
        return self.purpose == "remeasure" or self.evictions > 1

    @property
    def is_rerun(self) -> bool:
        """Whether the searcher did not ask for it: it runs the config of another trial once more."""
        return self.purpose != "search"

    @property
    def status_in_words(self) -> str:
        """`failed (diverged)` for a trial that did, and its status for every other."""
        return "failed (diverged)" if self.failure_kind == "diverged" else self.status

    @property
    def without_value(self) -> tuple[str, ...]:
        """Why scores of its result are null, as `no dev_score: sim has no pearson: every label is 2.5`."""
        if not self.epochs or self.status == "failed":
            return ()
        return tuple(in_words(self.undefined.get(best_place(self.epochs), {})))

    @property
    def tasks(self) -> list[str]:
        """The names of its tasks."""
        return [task["name"] for task in self.config["tasks"]]

    @property
    def metrics(self) -> dict[str, MetricValue]:
        """The result so far: `final_metrics` of its epochs, or its costs at the probe; no scores if it diverged."""
        if not self.epochs and self.probe is not None:
            return self.probe.metrics
        found = final_metrics(self.epochs, self.tasks)
        if self.failure_kind != "diverged":
            return found
        return found | dict.fromkeys(name for name in found if is_score(name, self.tasks) or name == "best_epoch")

    @property
    def projection(self) -> Metrics:
        """Its result projected to its end: after an epoch with scores, at its probe costs alone."""
        return self.projection_after(len(self.epochs))

    def projection_after(self, num_done: int) -> Metrics:
        """Return the projection as it was after so many epochs; after none that of the probe, if there was one."""
        if num_done == 0:
            return {} if self.probe is None else self.probe.projection
        return projection(self.epochs[:num_done], self.tasks, num_epochs=self.num_epochs)


@dataclass(kw_only=True)
class Sweep:
    """One sweep, as its events have it."""

    started: SweepStarted
    trials: list[Trial] = field(default_factory=list)
    """Those that the searcher asked for, in the order in which they started."""
    reruns: list[Trial] = field(default_factory=list)
    """Further runs of their configs, in the order in which they started."""
    finished: SweepFinished | None = None
    """None while a session runs, or when the last one was killed."""
    resumed: list[SweepResumed] = field(default_factory=list)
    """The sessions after the first."""
    paused_at: list[float] = field(default_factory=list)
    """For each of them when the last event before it was, in seconds since the epoch."""
    torn: bool = False
    """Whether the last line was cut off while it was written (its event is lost)."""
    damage: tuple[str, ...] = ()
    """Lines that `read_journal` left out, each with what is wrong with it."""
    _last_time: float | None = None
    _places: dict[str, tuple[bool, int]] = field(default_factory=dict)
    """Trial -> whether it is a rerun, and its place in `reruns` or `trials`."""

    def __post_init__(self) -> None:
        for trials in (self.trials, self.reruns):
            self._places |= {trial.trial_id: (trial.is_rerun, place) for place, trial in enumerate(trials)}

    @property
    def num_trials(self) -> int | None:
        """Trials planned, as the last session has it; none under a time budget alone."""
        return self.resumed[-1].num_trials if self.resumed else self.started.num_trials

    @property
    def repeats(self) -> int:
        """Further seeds of each trial on the front, as the last session that was asked for any has it."""
        asked = [one.repeats for one in self.resumed if one.repeats is not None]
        return asked[-1] if asked else int(self.started.space.get("repeats") or 0)

    @property
    def num_remeasurements(self) -> int:
        """How often each trial on the front is to be measured alone, of all sessions together."""
        return sum(one.remeasure for one in self.resumed)

    @property
    def num_ended(self) -> int:
        """Trials of the search that need not run again."""
        return sum(not trial.is_interrupted for trial in self.trials)

    @property
    def all_trials(self) -> list[Trial]:
        """Those of the search, then the reruns."""
        return [*self.trials, *self.reruns]

    def trial(self, trial_id: str) -> Trial | None:
        """Return a trial or a rerun by its id; none that has started has another."""
        if trial_id not in self._places:
            return None
        is_rerun, place = self._places[trial_id]
        return (self.reruns if is_rerun else self.trials)[place]

    def repeats_of(self, trial_id: str) -> list[Trial]:
        """Return the finished runs of a trial's config with other seeds, in the order in which they started."""
        return [
            one for one in self.reruns if one.purpose == "repeat" and one.of == trial_id and one.status == "finished"
        ]

    def remeasurement_of(self, trial_id: str) -> Trial | None:
        """Return the newest run of a trial's config alone that has its figures; they are its `projection`."""
        own = [one for one in self.reruns if one.purpose == "remeasure" and one.of == trial_id]
        return next((one for one in reversed(own) if one.epochs and one.status != "failed"), None)

    def apply(self, event: Event) -> None:
        """Take in what happened since the sweep started.

        A trial that starts again takes its own earlier place. In a journal of an earlier version, which has no number
        of its attempt, it has nothing of what it had reported.

        Raises:
            JournalError: a second sweep_started, an event of a trial that has not started, or a rerun of none.
        """
        match event:
            case SweepStarted():
                raise JournalError("a journal holds one sweep; a second sweep_started event was found")
            case SweepFinished():
                self.finished = event
            case SweepResumed():
                self.finished = None
                self.resumed.append(event)
                self.paused_at.append(self.started.time if self._last_time is None else self._last_time)
            case TrialStarted():
                self._start(event)
            case _:
                trial = self.trial(event.trial_id)
                if trial is None:
                    raise JournalError(f"an event of trial {event.trial_id} ({event.event}) came before it started")
                trial.apply(event)
        self._last_time = event.time

    def _start(self, event: TrialStarted) -> None:
        known = self.trial(event.trial_id)
        if known is not None and (known.purpose, known.of) != (event.purpose, event.of):
            raise JournalError(f"trial {event.trial_id} starts again as another one, for purpose {event.purpose}")
        if event.of is not None and ((of := self.trial(event.of)) is None or of.is_rerun):
            raise JournalError(f"trial {event.trial_id} runs {event.of} once more, which the search has not started")
        if known is not None and event.attempt > 1:
            known.apply(event)
            return
        trials = self.reruns if event.of is not None else self.trials
        _, place = self._places.setdefault(event.trial_id, (event.of is not None, len(trials)))
        trials[place : place + 1] = [Trial.started_by(event)]


def final_metrics(epochs: Sequence[Metrics], tasks: Sequence[str]) -> dict[str, MetricValue]:
    """Return a trial's result: the scores of the `best_epoch`, whose checkpoint is kept, and the costs so far."""
    if not epochs:
        return {}
    best = epochs[best_place(epochs)]
    # Both may have scores that the other lacks, as in the journal of another version.
    names = dict.fromkeys((*tasks, *MEAN_SCORES, *(name for name in {**epochs[-1], **best} if is_score(name, tasks))))
    return {**epochs[-1], **{name: best.get(name) for name in names}, "best_epoch": best.get("epoch")}


def projection(epochs: Sequence[Metrics], tasks: Sequence[str], *, num_epochs: int) -> dict[str, MetricValue]:
    """Return a trial's best scores so far, and its costs projected to its end.

    At the same epoch this orders trials as what they have spent does, and trials of different lengths fairly as well.
    """
    return project(final_metrics(epochs, tasks), share=len(epochs) / num_epochs)


def is_score(name: str, tasks: Sequence[str]) -> bool:
    """Whether a metric is a score: of a task, as `topic`, by one of its metrics, as `topic.f1_macro`, or a mean."""
    return name in MEAN_SCORES or name.partition(".")[0] in tasks


def best_place(epochs: Sequence[Metrics]) -> int:
    """Return the place of the epoch with the highest dev_score, of equal ones the first.

    While no epoch has a dev_score the latest one counts as best, so that there is a checkpoint.
    """
    scored = [(score, -place) for place, epoch in enumerate(epochs) if (score := _dev_score(epoch)) is not None]
    return -max(scored)[1] if scored else len(epochs) - 1


def _dev_score(metrics: Metrics) -> float | None:
    value = metrics.get("dev_score")
    # NaN, in an old journal, compares with nothing, so that the best would depend on where it stands.
    return None if value is None or math.isnan(value) else value
