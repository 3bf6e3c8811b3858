"""A sweep in whose place a test makes the calls that Ray Tune makes."""

import json
from dataclasses import dataclass
from pathlib import Path

from ray import cloudpickle
from rich.console import Console

from mtbert_ray.events import EpochFinished, ProbeFinished, SweepStarted, TrialStopped
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.trial_files import TrialFiles
from mtbert_ray.ray_backend.tune import StudyOnTune
from mtbert_ray.reporting.progress import SweepProgress
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import FloatRange
from mtbert_ray.study.study import Study
from mtbert_ray.trial import Trial

OBJECTIVES = {"dev_score": Objective(direction="maximize", reference=0.0)}
NUM_EPOCHS = 2


@dataclass
class FakeTrial:
    """What is read of a Tune trial."""

    config: dict
    pickled_error_file: str | None = None
    error_file: str | None = None


class SweepOnTune:
    """A study with its journal, its progress and its trials' files, on a Tune that the test speaks for.

    Args:
        folder: the sweep's.
        space: keys of the search space that are not the default ones.
        fixed: keys of every trial.
    """

    def __init__(self, folder: Path, *, objectives: dict = OBJECTIVES, fixed: dict | None = None, **space) -> None:
        self.folder = folder
        self.space = SearchSpace.model_validate(
            {
                "name": "s",
                "objectives": objectives,
                "fixed": {"epochs": NUM_EPOCHS, "tasks": ["sst"], **(fixed or {})},
                "search": {"learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-2)},
                "algorithm": "random",
                "trials": 6,
                **space,
            }
        )
        self.journal = Journal(folder)
        started = SweepStarted(
            name="s",
            space=self.space.model_dump(mode="json"),
            objectives=objectives,
            hyperparameters=self.space.hyperparameters,
            tasks=("sst",),
            num_trials=self.space.num_trials,
            seed=0,
            versions={},
            git_revision=None,
            hardware={},
        )
        self.journal.append(started)
        self.progress = SweepProgress(
            objectives=objectives,
            tasks=("sst",),
            num_trials=self.space.num_trials,
            time_budget_seconds=None,
            console=Console(quiet=True),
        )
        self.study = Study(started)
        self.study.observers += [lambda event, trial: self.journal.append(event), TrialFiles(folder)]
        self.study.observers.append(self.progress.on_event)
        self.backend = StudyOnTune(self.study, folder, node_id="this-node")
        self.trials: dict[str, FakeTrial] = {}

    def start(self) -> str:
        """Let Tune ask for the next trial; return its id."""
        config = self.backend.searcher.suggest("Ray's own id")
        self.trials[config["trial_id"]] = FakeTrial(config)
        return config["trial_id"]

    def report(self, trial_id: str, event: dict | object, *, done: bool = False, **more) -> str:
        """Hand a result over as Tune does; return what becomes of the trial."""
        text = json.dumps(event) if isinstance(event, dict) else event.model_dump_json(exclude={"time"})
        result = {"event": text, "node_id": "this-node", "done": done, **more}
        answer = "CONTINUE"
        if not done:  # Of a trial's last result Tune tells the callbacks alone.
            answer = self.backend.scheduler.on_trial_result(None, self.trials[trial_id], result)
        self.backend.callback.on_trial_result(iteration=0, trials=[], trial=self.trials[trial_id], result=result)
        return answer

    def epoch(self, trial_id: str, number: int, score: float | None = 0.5, *, costs: dict | None = None, **more) -> str:
        # The checkpoint of an epoch lies there before its result is reported.
        (self.backend.folder_of(trial_id) / "checkpoint").mkdir(exist_ok=True)
        of_event = {name: more.pop(name) for name in ("gpu_problem", "undefined") if name in more}
        metrics = {"epoch": number, "step": 10 * number, "sst": score, "dev_score": score, **(costs or {})}
        event = EpochFinished(trial_id=trial_id, metrics=metrics, **of_event)
        return self.report(trial_id, event, done=number == NUM_EPOCHS, **more)

    def probe(self, trial_id: str, **projection) -> str:
        event = ProbeFinished(trial_id=trial_id, steps=35, metrics={"peak_rss_gib": 0.5}, projection=projection)
        return self.report(trial_id, event)

    def run_out_of_memory(self, trial_id: str, message: str) -> None:
        end = TrialStopped(trial_id=trial_id, reason=f"out of memory: {message}", kind="memory")
        self.report(trial_id, end, done=True)

    def complete(self, trial_id: str) -> None:
        self.backend.scheduler.on_trial_complete(None, self.trials[trial_id], {})
        self.backend.searcher.on_trial_complete("Ray's own id", {})
        self.backend.callback.on_trial_complete(iteration=0, trials=[], trial=self.trials[trial_id])

    def finish(self, trial_id: str) -> None:
        for number in range(1, NUM_EPOCHS + 1):
            self.epoch(trial_id, number)
        self.complete(trial_id)

    def fail(self, trial_id: str, error: BaseException | None) -> None:
        trial = self.trials[trial_id]
        if error is not None:
            path = self.folder / f"{trial_id}-error.pkl"
            path.write_bytes(cloudpickle.dumps(error))
            trial.pickled_error_file = str(path)
        self.backend.callback.on_trial_error(iteration=0, trials=[], trial=trial)

    def lines(self) -> list[tuple[str, str]]:
        """Kind and trial of every event in the journal after the first."""
        read_journal(self.folder)  # Refuses what is out of order.
        lines = (self.folder / "journal.jsonl").read_text().splitlines()[1:]
        return [(event["event"], event["trial_id"]) for event in map(json.loads, lines)]

    def read_trials(self) -> list[Trial]:
        """The trials as the journal has them."""
        return read_journal(self.folder).trials
