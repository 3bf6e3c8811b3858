"""Ray Tune's part for a scheduler, without Ray: trials, and the calls that Tune makes."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from pyarrow.fs import LocalFileSystem

from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.scheduler import ParetoScheduler
from mtbert_ray.study.pruning.rungs import HalvingConfig

TWO = {"accuracy": "max", "seconds": "min"}
AXES = {
    "accuracy": Objective(direction="maximise", reference=-1.0, attainable=3.0),
    "seconds": Objective(direction="minimise", reference=3.5),
}


@dataclass
class FakeTrial:
    trial_id: str
    storage: SimpleNamespace | None = None
    config: dict = field(default_factory=dict)
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"t{self.trial_id}"


class Run:
    """Ray Tune's part, for a scheduler: its trials, and the order of its calls."""

    def __init__(self, scheduler: ParetoScheduler, folder: Path | None = None) -> None:
        self.scheduler = scheduler
        self.trials: dict[str, FakeTrial] = {}
        self.storage = folder and SimpleNamespace(storage_filesystem=LocalFileSystem(), experiment_fs_path=str(folder))

    def get_trials(self) -> list[FakeTrial]:
        return list(self.trials.values())

    def add(self, trial_id: str, **config) -> FakeTrial:
        trial = FakeTrial(trial_id, self.storage, config)
        self.trials[trial_id] = trial
        self.scheduler.on_trial_add(self, trial)
        return trial

    def report(self, trial_id: str, iteration: int, **metrics) -> str:
        trial = self.trials[trial_id] if trial_id in self.trials else self.add(trial_id)
        return self.scheduler.on_trial_result(self, trial, {"training_iteration": iteration, "pid": 1, **metrics})

    def complete(self, trial_id: str, iteration: int, **metrics) -> None:
        self.scheduler.on_trial_complete(
            self, self.trials[trial_id], {"training_iteration": iteration, "done": True, **metrics}
        )


def run(objectives: dict | None = None, *, max_t: int = 9, folder: Path | None = None, **options) -> Run:
    options.setdefault("halving", HalvingConfig(grace=1))
    return Run(ParetoScheduler(objectives or TWO, max_t=max_t, **options), folder)
