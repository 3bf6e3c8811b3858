"""A listener that is told what Tune would tell it, and what it wrote."""

import json
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.ray_backend.listener import SweepListener
from ray import cloudpickle
from rich.console import Console

from mtbert_ray.config import TrialConfig
from mtbert_ray.events import SweepStarted
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.progress import SweepProgress

OBJECTIVES = {"dev_score": Objective(direction="maximize", reference=0.0)}
NO_WORD = "the trial's process died without a word (out of memory, or killed)"


@dataclass
class FakeTrial:
    """What the listener reads of a Tune trial."""

    config: dict
    pickled_error_file: str | None = None
    error_file: str | None = None


class Sweep:
    """A sweep in whose place a test speaks for Tune."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder)
        self.journal.append(
            SweepStarted(
                name="s",
                space={},
                objectives=OBJECTIVES,
                hyperparameters=("learning_rate",),
                tasks=("sst",),
                num_trials=3,
                seed=0,
                versions={},
                git_revision=None,
                hardware={},
            )
        )
        self.progress = SweepProgress(
            objectives=OBJECTIVES,
            tasks=("sst",),
            num_trials=3,
            time_budget_seconds=None,
            console=Console(quiet=True),
        )
        self.listener = SweepListener(folder=folder, journal=self.journal, progress=self.progress)
        self.trials: dict[str, FakeTrial] = {}

    def trial(self, trial_id: str, **setting) -> FakeTrial:
        values = {"learning_rate": 1e-5, **setting}
        config = TrialConfig(epochs=2, tasks=("sst",), **values)
        tune_config = {"trial_id": trial_id, "values": values, "trial": config.model_dump(mode="json")}
        self.trials[trial_id] = FakeTrial(tune_config)
        return self.trials[trial_id]

    def start(self, trial_id: str, **setting) -> None:
        self.listener.on_trial_start(0, [], self.trial(trial_id, **setting))

    def epoch(self, trial_id: str, number: int, score: float = 0.5, **more) -> None:
        # The checkpoint of an epoch lies there before its result is told.
        (self.listener.trial_folder(trial_id) / "checkpoint").mkdir(exist_ok=True)
        metrics = {"epoch": number, "step": 10 * number, "sst": score, "dev_score": score}
        problems = {"gpu_problem": None, "profile_problem": None}
        result = {"metrics": metrics, "node_id": "this-node", "done": number == 2, **problems, **more}
        self.listener.on_trial_result(0, [], self.trials[trial_id], result)

    def probe(self, trial_id: str, **projection) -> None:
        costs = {"probe": {"peak_rss_gib": 0.5}, "projection": projection}
        result = {**costs, "epoch": 0, "step": 35, "gpu_problem": None, "node_id": "this-node"}
        self.listener.on_trial_result(0, [], self.trials[trial_id], result)

    def run_out_of_memory(self, trial_id: str, message: str) -> None:
        result = {"out_of_memory": message, "epoch": 0, "projection": {}, "node_id": "this-node", "done": True}
        self.listener.on_trial_result(0, [], self.trials[trial_id], result)

    def complete(self, trial_id: str) -> None:
        self.listener.on_trial_complete(0, [], self.trials[trial_id])

    def fail(self, trial_id: str, error: BaseException | None) -> None:
        trial = self.trials[trial_id]
        if error is not None:
            path = self.folder / f"{trial_id}-error.pkl"
            path.write_bytes(cloudpickle.dumps(error))
            trial.pickled_error_file = str(path)
        self.listener.on_trial_error(0, [], trial)

    def journal_lines(self) -> list[tuple[str, str]]:
        """Kind and trial of every event after the first."""
        lines = (self.folder / "journal.jsonl").read_text().splitlines()[1:]
        return [(event["event"], event["trial_id"]) for event in map(json.loads, lines)]

    def events(self) -> list[tuple[str, str, object]]:
        """Kind, trial and what is special, of every event after the first."""
        read_journal(self.folder)  # Refuses what is out of order.
        lines = (self.folder / "journal.jsonl").read_text().splitlines()[1:]
        special = {"epoch": "metrics", "trial_finished": "checkpoint", "trial_stopped": "reason"}
        special |= {"trial_failed": "reason", "trial_started": "hyperparameters"}
        events = [json.loads(line) for line in lines]
        return [(event["event"], event["trial_id"], event[special[event["event"]]]) for event in events]


def metrics(epoch: int, score: float = 0.5) -> dict:
    return {"epoch": epoch, "step": 10 * epoch, "sst": score, "dev_score": score}


# The journal
