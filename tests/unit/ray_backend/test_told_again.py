"""What a searcher is told of a sweep while it runs, and from its journal later: the same, up to the order."""

import math

import pytest
from fake_tune import FakeTrial, Run
from hypothesis import given, settings
from hypothesis import strategies as st
from mtbert_ray.ray_backend.for_ray import SpaceSearcher

from mtbert_ray.events import ProbeFinished, SweepStarted
from mtbert_ray.metrics import Objective, known_metrics
from mtbert_ray.ray_backend.scheduler import ParetoScheduler
from mtbert_ray.study.pruning.rungs import HalvingConfig
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import FloatRange
from mtbert_ray.study.warm_start import warm_start
from mtbert_ray.trial import Sweep, Trial, projection

NUM_EPOCHS = 4
OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0, constraint=0.5),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
    "cpu_seconds": Objective(direction="minimize", reference=60.0),
}
SPACE = SearchSpace(
    name="now",
    objectives=OBJECTIVES,
    fixed={"encoder": "tiny", "epochs": NUM_EPOCHS},
    search={"dropout": FloatRange(kind="uniform", low=0.0, high=0.9)},
    trials=50,
)
# Per epoch: a score, and what it cost; around the bounds, and within the margin of them.
scores = st.sampled_from([0.2, 0.5, 0.8, math.nan])
costs = st.sampled_from([5.0, 12.0, 13.0, 14.0, 20.0])
epochs = st.lists(st.tuples(scores, costs, costs), min_size=NUM_EPOCHS, max_size=NUM_EPOCHS)
ends = st.sampled_from(["itself", "itself", "itself", "crash", "memory", "sweep"])
trials = st.tuples(epochs, ends, st.integers(0, NUM_EPOCHS - 1), st.booleans())


class RecordingSearcher:
    """Suggests settings, or opens them, and keeps what it is told of each."""

    def __init__(self) -> None:
        self.settings: list[dict] = []
        self.told: list[tuple] = []

    def ask(self):
        values = {"dropout": 0.01 * len(self.settings)}
        return self.open(values), values

    def open(self, values):
        self.settings.append(dict(values))
        return len(self.settings) - 1

    def tell(self, key, losses, violation=0.0):
        self.told.append((key, "end", None if losses is None else losses.tolist(), violation))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.told.append((key, resource, None if losses is None else losses.tolist(), violation))

    def tell_stopped(self, key):
        self.told.append((key, "stopped"))

    def told_in_order(self) -> list[tuple]:
        return sorted(self.told, key=repr)


class Live:
    """Tune's part: hands each trial's results to scheduler and searcher, and writes down what a journal would."""

    def __init__(self, *, has_scheduler: bool) -> None:
        self.searcher = RecordingSearcher()
        self.scheduler = ParetoScheduler(
            OBJECTIVES,
            max_t=NUM_EPOCHS,
            time_attr="epoch",
            prefix="projection/",
            halving=HalvingConfig(grace_period=2),
            metrics=known_metrics(SPACE.tasks),
            length_of=lambda config: NUM_EPOCHS,
        )
        self.run = Run(self.scheduler)
        self.has_scheduler = has_scheduler
        decisions = self.scheduler.decisions if has_scheduler else {}
        self.adapter = SpaceSearcher(SPACE, self.searcher, OBJECTIVES, decisions=decisions)
        self.records: list[Trial] = []

    def trial(self, epochs: list[tuple], end: str, after: int, tells_its_last: bool) -> None:
        """Run one trial until it ends: by itself, stopped, or `after` so many epochs, 0 being the probe.

        Ray tells of the last epoch with the end, and before that too where the trial is a function.
        """
        suggested = self.adapter.suggest(f"ray-{len(self.records)}")
        name, ray_id = suggested["trial_id"], f"ray-{len(self.records)}"
        record = Trial(trial_id=name, hyperparameters=suggested["values"], config=suggested["trial"], started=0.0)
        self.records.append(record)
        self.run.trials[name] = trial = FakeTrial(ray_id, config=suggested, name=name)
        self.scheduler.on_trial_add(self.run, trial)
        for done in range(NUM_EPOCHS + 1):
            metrics = self._tell(record, epochs, done)
            result = {"epoch": done, **{f"projection/{key}": value for key, value in metrics.items()}}
            if self.has_scheduler and self.scheduler.on_trial_result(self.run, trial, result) == "STOP":
                record.status, record.stop_kind = "stopped", self.scheduler.decisions[name].kind
                self.adapter.on_trial_complete(ray_id, result)
                return
            if done == NUM_EPOCHS:
                record.status = "finished"
                if tells_its_last:
                    self.adapter.on_trial_result(ray_id, result)
                self.scheduler.on_trial_complete(self.run, trial, {**result, "done": True})
                self.adapter.on_trial_complete(ray_id, result)
                return
            self.adapter.on_trial_result(ray_id, result)
            if done == after and end != "itself":
                self._end(record, ray_id, end, result)
                return

    def _end(self, record: Trial, ray_id: str, end: str, last: dict) -> None:
        if end == "crash":
            record.status = "failed"
            self.adapter.on_trial_complete(ray_id, None, error=True)
        elif end == "memory":
            record.status, record.stop_kind = "stopped", "memory"
            self.adapter.on_trial_complete(ray_id, {"epoch": last["epoch"], "out_of_memory": "4 GiB"})
        else:
            record.status, record.stop_kind = "stopped", "sweep"
            self.adapter.on_trial_complete(ray_id, last)

    def _tell(self, record: Trial, epochs: list[tuple], done: int) -> dict:
        if done == 0:
            costs = {"train_seconds": epochs[0][1] * NUM_EPOCHS, "cpu_seconds": epochs[0][2] * NUM_EPOCHS}
            record.probe = ProbeFinished(trial_id=record.trial_id, steps=9, metrics={}, projection=costs)
            return costs
        score = epochs[done - 1][0]
        spent = {
            "train_seconds": sum(epoch[1] for epoch in epochs[:done]),
            "cpu_seconds": sum(epoch[2] for epoch in epochs[:done]),
        }
        record.epochs.append({"epoch": done, **dict.fromkeys(("sst", "quora", "sts", "dev_score"), score), **spent})
        return projection(record.epochs, record.tasks, num_epochs=NUM_EPOCHS)


@pytest.mark.parametrize("has_scheduler", [True, False])
@settings(max_examples=150)
@given(st.lists(trials, min_size=1, max_size=6))
def test_a_searcher_is_told_the_same_live_and_from_the_journal(has_scheduler: bool, events: list):
    live = Live(has_scheduler=has_scheduler)
    for event in events:
        live.trial(*event)
    started = SweepStarted(
        name="earlier",
        space={},
        objectives=OBJECTIVES,
        hyperparameters=("dropout",),
        tasks=("sst", "quora", "sts"),
        num_trials=9,
        seed=0,
        versions={},
        git_revision=None,
        hardware={},
    )
    again = RecordingSearcher()
    warm_start(again, SPACE, Sweep(started=started, trials=live.records, finished=None), OBJECTIVES)
    assert again.settings == live.searcher.settings
    assert again.told_in_order() == live.searcher.told_in_order()
