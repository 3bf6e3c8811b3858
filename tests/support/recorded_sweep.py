"""Writes the journal of a sweep whose trials have whole curves, as a sweep would."""

from pathlib import Path

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import Journal
from mtbert_ray.metrics import Objective, task_scores
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1000.0),
}
SEARCH = {
    "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-3),
    "adapter.kind": Choice(values=("none", "lora")),
    "adapter.rank": IntRange(low=2, high=16, when={"adapter.kind": ("lora",)}),
}


class RecordedSweep:
    """Writes the journal of a sweep, one trial after another."""

    def __init__(self, folder: Path, *, objectives=OBJECTIVES, search=SEARCH, fixed=None, space=None, **asked):
        self.folder = folder
        self.search = search
        self.tasks = (fixed or {}).get("tasks", ("sst",))
        self.journal = Journal(folder)
        whole = SearchSpace(
            name="s", objectives=objectives, search=search, fixed=fixed or {}, scheduler="fifo", **asked
        )
        self.journal.append(
            SweepStarted(
                name="s",
                space=whole.model_dump(mode="json") if space is None else space,
                objectives=objectives,
                hyperparameters=tuple(search),
                tasks=("sst",),
                num_trials=None,
                seed=0,
                versions={},
                git_revision=None,
                hardware={},
            )
        )

    def trial(self, name, scores, *, seconds=10.0, end="finished", epochs=None, values=None, eval_seconds=1.0, **more):
        """A trial that takes so many seconds of training and one of scoring each epoch."""
        values = values or {"learning_rate": 1e-4, "adapter.kind": "none"}
        config = TrialConfig.model_validate(
            nest({"tasks": self.tasks, "epochs": len(scores) if epochs is None else epochs, **values})
        )
        dumped = config.model_dump(mode="json")
        self.journal.append(TrialStarted(trial_id=name, hyperparameters=values, config=dumped))
        for epoch, score in enumerate(scores, start=1):
            costs = {"train_seconds": seconds * epoch, "eval_seconds": eval_seconds and eval_seconds * epoch}
            scores_now = task_scores(config.tasks, {task.name: score for task in config.tasks})
            metrics = {**scores_now, "epoch": epoch, "step": 5 * epoch, **costs, **more}
            self.journal.append(EpochFinished(trial_id=name, metrics=metrics))
        match end:
            case "finished":
                self.journal.append(TrialFinished(trial_id=name))
            case "stopped":
                self.journal.append(TrialStopped(trial_id=name, reason="epoch 1: dominated", kind="rung"))
            case "failed":
                self.journal.append(TrialFailed(trial_id=name, reason="it broke"))

    def finish(self) -> Path:
        self.journal.append(SweepFinished(reason="completed"))
        return self.folder
