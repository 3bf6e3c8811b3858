"""Ray Tune's part in a sweep, without Ray: trials of known curves whose results come once, twice or too late."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mtbert_ray.errors import DivergedError
from mtbert_ray.events import (
    EpochFinished,
    Event,
    ProbeFinished,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialResumed,
    TrialStopped,
)
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.reports import out_of_memory_report
from mtbert_ray.ray_backend.tune import StudyOnTune
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange
from mtbert_ray.study.study import Study

NUM_EPOCHS = 4
OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0, attainable=0.9),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=90.0),
}


def space_of(algorithm: str, scheduler: str, *, seed: int = 0, trials: int | None = 8, **changes) -> SearchSpace:
    search = {
        "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-2),
        "hidden_layers": Choice(values=(0, 1, 2)),
    }
    points: tuple[dict, ...] = ({"learning_rate": 0.001, "hidden_layers": 1}, {"hidden_layers": 2})
    if algorithm == "grid":
        search = {"batch_size": Choice(values=(4, 8, 16, 32)), "hidden_layers": Choice(values=(0, 1, 2))}
        points = ({"batch_size": 8, "hidden_layers": 1},)
    options = {
        "name": "s",
        "objectives": OBJECTIVES,
        "fixed": {"encoder": "tiny", "epochs": NUM_EPOCHS, "tasks": ["sst"], "warmup_fraction": 0.0},
        "search": search,
        "points_to_evaluate": points,
        "algorithm": algorithm,
        "scheduler": scheduler,
        "seed": seed,
        "trials": trials,
    }
    return SearchSpace(**{**options, **changes})


def started(space: SearchSpace) -> SweepStarted:
    return SweepStarted(
        time=0.0,
        name=space.name,
        space=space.model_dump(mode="json"),
        objectives=dict(space.objectives),
        hyperparameters=space.hyperparameters,
        tasks=("sst",),
        num_trials=space.num_trials,
        seed=space.seed,
        versions={},
        git_revision=None,
        hardware={},
    )


def curve_of(rng: np.random.Generator) -> list[dict]:
    """The metrics of a trial's epochs, from few values so that ties are met, some null."""
    seconds = float(rng.choice([2.0, 5.0, 5.0, 8.0, 30.0]))
    scores = np.maximum.accumulate(rng.integers(0, 10, NUM_EPOCHS)) / 10
    return [
        {
            "epoch": number,
            "step": 10 * number,
            "sst": score,
            "dev_score": None if rng.random() < 0.05 else score,
            "train_seconds": number * seconds,
        }
        for number, score in enumerate(scores.tolist(), start=1)
    ]


class ScriptedTune:
    """Runs a study as Tune would, and keeps the events and the decision that came back for each.

    Args:
        study: new, or resumed.
        folder: the sweep's.
        rng: decides what happens.
        workers: trials at once.
    """

    def __init__(self, study: Study, folder: Path, rng: np.random.Generator, *, workers: int = 2) -> None:
        self.study, self.rng, self.workers = study, rng, workers
        self.folder = folder
        self.events: list[Event] = [study.sweep.started]
        self.decisions: dict[int, Decision | None] = {}
        """Place of an event -> what the study answered to it."""
        study.observers.append(lambda event, trial: self.events.append(event))
        self._add = study.add
        study.add = self._noted  # type: ignore[method-assign]
        self._begin()

    def _begin(self) -> None:
        self.backend = StudyOnTune(self.study, self.folder, node_id="here")
        self.running: dict[str, list[dict]] = {}
        self.done: dict[str, int] = {}

    def _noted(self, event: Event) -> Decision | None:
        place = len(self.events)
        self.decisions[place] = self._add(event)
        return self.decisions[place]

    def session(
        self, curves: Iterable[list[dict]] | None = None, *, incidents: bool = True, steps: int = 10_000
    ) -> None:
        """Run until no trial is left, or so many steps have been taken and the process is killed."""
        curves = iter(curves) if curves is not None else (curve_of(self.rng) for _ in itertools.count())
        for _ in range(steps):
            while len(self.running) < self.workers and (suggested := self.backend.suggest()) is not None:
                trial_id = suggested["trial_id"]
                (self.folder / "trials" / trial_id / "checkpoint").mkdir(parents=True, exist_ok=True)
                self.running[trial_id], self.done[trial_id] = next(curves), -1 if suggested["probe"] else 0
                assert not suggested["alone"] or len(self.running) == 1
                if suggested["attempt"] > 1:
                    self._continue(trial_id, suggested["epochs_done"], lost=incidents and self.rng.random() < 0.3)
            if not self.running:
                return
            trial_id = list(self.running)[int(self.rng.integers(len(self.running)))]
            self._step(trial_id, incidents=incidents)

    def _continue(self, trial_id: str, epochs_done: int, *, lost: bool) -> None:
        """Continue from the trial's state, or start over where that is lost; or stop, if all is known already."""
        epoch = 0 if lost else min(epochs_done, NUM_EPOCHS - 1)
        event = TrialResumed(trial_id=trial_id, epoch=epoch)
        for _ in range(int(self.rng.integers(1, 3))):
            stop = self.backend.receive({"event": event.model_dump_json(exclude={"time"}), "node_id": "here"})
        if stop:
            self.backend.complete(trial_id)
            del self.running[trial_id]
            return
        self.done[trial_id] = max(epoch, self.done[trial_id]) if epoch else self.done[trial_id]

    def _step(self, trial_id: str, *, incidents: bool) -> None:
        curve = self.running[trial_id]
        if incidents and self.rng.random() < 0.08:
            self._end_badly(trial_id)
            return
        self.done[trial_id] += 1
        done = self.done[trial_id]
        event: ProbeFinished | EpochFinished
        if done == 0:
            costs = {"train_seconds": curve[-1]["train_seconds"]}
            event = ProbeFinished(trial_id=trial_id, steps=9, metrics={"train_seconds": 1.0}, projection=costs)
        else:
            event = EpochFinished(trial_id=trial_id, metrics=curve[done - 1])
        result = {"event": event.model_dump_json(exclude={"time"}), "node_id": "here"}
        # Of its last result Tune tells the callbacks alone.
        stop = done < NUM_EPOCHS and self.backend.receive(result)
        for _ in range(int(self.rng.integers(1, 3))):
            self.backend.receive(result)
        if stop or done == NUM_EPOCHS:
            if incidents and self.rng.random() < 0.3 and stop and done > 0:  # A result that was on its way.
                late = EpochFinished(trial_id=trial_id, metrics=curve[done]).model_dump_json(exclude={"time"})
                self.backend.receive({"event": late, "node_id": "here"})
            self.backend.complete(trial_id)
            self.backend.receive(result)
            del self.running[trial_id]

    def _end_badly(self, trial_id: str) -> None:
        match int(self.rng.integers(5)):
            case 0:
                self.backend.fail(trial_id, ValueError("no"))
            case 1:
                self.backend.fail(trial_id, DivergedError("not finite"))
            case 2:
                self.backend.fail(trial_id, None)  # Its process died.
            case 3:
                self.backend.fail(trial_id, MemoryError("too much"))
            case 4:
                self.backend.receive({**out_of_memory_report_of(trial_id)})
                self.backend.complete(trial_id)
        del self.running[trial_id]

    def resume(self, *, num_trials: int | None, politely: bool, **asked) -> None:
        """End the session, by a kill or with the trials written down as interrupted, and begin the next one."""
        if politely:
            for trial_id in self.running:
                self.backend.interrupt(trial_id, "interrupted")
            self.study.add(SweepFinished(reason="interrupted"))
        self.study.add(SweepResumed(num_trials=num_trials, versions={}, git_revision=None, hardware={}, **asked))
        self._begin()


def out_of_memory_report_of(trial_id: str) -> dict:
    """What a worker reports when it is out of memory, without Ray to ask for the node."""
    from unittest.mock import patch

    with patch("mtbert_ray.ray_backend.reports.ray"):
        report = out_of_memory_report(TrialStopped(trial_id=trial_id, reason="4 GiB", kind="memory"))
    return {**report, "node_id": "here"}
