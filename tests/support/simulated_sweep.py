"""A sweep whose truth is known: trials that are right as often as they should be, on dev rows that are hard for all."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from mtbert_ray.config import TrialConfig
from mtbert_ray.events import SweepStarted
from mtbert_ray.metrics import Objective, task_scores
from mtbert_ray.reporting.noise import RunsOfTrial
from mtbert_ray.reporting.outcome import Outcome, outcome_of
from mtbert_ray.reporting.uncertainty import Uncertainty, uncertainty_given
from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.tasks import QUORA
from mtbert_ray.trial import Sweep, Trial

SHARED = 0.7
"""Of what makes a row hard, for all trials alike."""
TASKS = (QUORA,)
CONFIG = TrialConfig(tasks=TASKS, epochs=1).model_dump(mode="json")
OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=1e6),
}


@dataclass
class Simulated:
    """One sweep of one task, accuracy against training seconds."""

    rng: np.random.Generator
    num_rows: int
    objectives: dict[str, Objective] = field(default_factory=lambda: OBJECTIVES)
    hyperparameters: tuple[str, ...] = ()
    space: dict[str, object] = field(default_factory=dict)
    predictions: dict[str, dict[str, TaskPredictions]] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    repeats: dict[str, list[Trial]] = field(default_factory=dict)
    alone: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels = self.rng.integers(2, size=self.num_rows)
        self.hardness = self.rng.normal(size=self.num_rows)

    def run(self, accuracy: float, name: str, **metrics: float) -> Trial:
        """A run that is right for so large a share of all rows there are."""
        own = self.rng.normal(size=self.num_rows)
        skill = stats.norm.ppf(accuracy)
        hits = skill > np.sqrt(SHARED) * self.hardness + np.sqrt(1 - SHARED) * own
        values = np.where(hits, self.labels, 1 - self.labels)
        self.predictions[name] = {"quora": TaskPredictions.of(values * 1.0, self.labels * 1.0, num_classes=2)}
        scores = task_scores(TASKS, {"quora": float(hits.mean())})
        return Trial(
            trial_id=name,
            hyperparameters={},
            config=CONFIG,
            started=0.0,
            ended=float(len(self.trials)),
            status="finished",
            epochs=[{**scores, "epoch": 1, **metrics}],
        )

    def trial(self, accuracy: float, **metrics: float) -> Trial:
        """Add a trial of the search."""
        trial = self.run(accuracy, f"t{len(self.trials)}", **metrics)
        self.trials.append(trial)
        return trial

    def repeat(self, trial: Trial, accuracy: float, **metrics: float) -> None:
        """Add a run with another seed."""
        runs = self.repeats.setdefault(trial.trial_id, [])
        run = self.run(accuracy, f"{trial.trial_id}-r{len(runs) + 1}", **metrics)
        run.purpose, run.of = "repeat", trial.trial_id
        runs.append(run)

    def outcome(self) -> Outcome:
        started = SweepStarted(
            name="s",
            space=self.space,
            objectives=self.objectives,
            hyperparameters=self.hyperparameters,
            tasks=("quora",),
            num_trials=None,
            seed=0,
            versions={},
            git_revision=None,
            hardware={},
        )
        reruns = [run for runs in self.repeats.values() for run in runs]
        return outcome_of(Sweep(started=started, trials=self.trials, reruns=reruns))

    def uncertainty(self, **options: int) -> tuple[Outcome, Uncertainty]:
        outcome = self.outcome()
        runs = [
            RunsOfTrial(
                trial=trial,
                repeats=tuple(outcome.sweep.repeats_of(trial.trial_id)),
                alone=self.alone.get(trial.trial_id, {}),
            )
            for trial in outcome.compared
        ]
        return outcome, uncertainty_given(outcome, runs, self.predictions, **options)
