from functools import cache
from pathlib import Path

import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    TrialStopped,
)
from mtbert_ray.journal import Journal
from mtbert_ray.metrics import Objective, task_scores
from mtbert_ray.reporting import document
from mtbert_ray.study.space import load_search_space

PAPER = Path(__file__).parents[3] / "search_spaces" / "paper"
START = 1_800_000_000.0
DRAW = document.png_of
NASTY = "RuntimeError: <script>alert('x')</script> | `rm` & 2 GiB too much"
OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.4),
    "peak_memory_gib": Objective(direction="minimize", reference=8.0, constraint=6.0),
}
HYPERPARAMETERS = ("adapter.kind", "adapter.rank", "learning_rate", "epochs")


class Sweep:
    """Writes a journal as a sweep would, one trial after another, each taking a minute."""

    def __init__(self, folder: Path, objectives=OBJECTIVES, num_trials=8, hyperparameters=HYPERPARAMETERS, **space):
        self.folder = folder
        self.clock = START
        self.journal = Journal(folder)
        self.journal.append(
            SweepStarted(
                time=START,
                name="budget <b>",
                space={"question": "Is <more> better?", "search": {"adapter.kind": ["none", "lora"]}, **space},
                objectives=objectives,
                hyperparameters=hyperparameters,
                tasks=("sst", "quora", "sts"),
                num_trials=num_trials,
                seed=11,
                versions={"torch": "2.13.0"},
                git_revision=None,
                hardware={"gpu": None, "cpus": 2},
                notes=("Dev rows: 200 a task.",),
            )
        )

    def start(self, trial_id, fixed=None, **hyperparameters):
        hyperparameters = {key.replace("__", "."): value for key, value in hyperparameters.items()}
        config = TrialConfig.model_validate(nest({**(fixed or {}), **hyperparameters})).model_dump(mode="json")
        self.journal.append(
            TrialStarted(time=self.clock, trial_id=trial_id, hyperparameters=hyperparameters, config=config)
        )

    def epochs(self, trial_id, scores, **costs):
        for epoch, score in enumerate(scores, start=1):
            metrics = task_scores(TrialConfig().tasks, {"sst": score - 0.2, "quora": score, "sts": score + 0.2})
            metrics |= {"epoch": epoch, "train_seconds": 10.0 * epoch, "train_loss": 1 / epoch, **costs}
            self.journal.append(EpochFinished(time=self.clock + 10 * epoch, trial_id=trial_id, metrics=metrics))

    def resume(self, after, **what):
        """Another session, so many seconds after the last event."""
        self.clock += after
        was = {"versions": {"torch": "2.13.0"}, "git_revision": None, "hardware": {"gpu": None, "cpus": 2}}
        self.journal.append(SweepResumed(time=self.clock, **{"num_trials": 8, **was, **what}))

    def end(self, trial_id, *, failed=None, stopped=None, kind="sweep", checkpoint=True):
        self.clock += 60
        kept = f"trials/{trial_id}/checkpoint" if checkpoint else None
        if failed is not None:
            self.journal.append(TrialFailed(time=self.clock, trial_id=trial_id, reason=failed))
        elif stopped is not None:
            self.journal.append(
                TrialStopped(time=self.clock, trial_id=trial_id, reason=stopped, kind=kind, checkpoint=kept)
            )
        else:
            self.journal.append(TrialFinished(time=self.clock, trial_id=trial_id, checkpoint=kept))

    def trial(
        self, trial_id, scores, *, config=None, failed=None, stopped=None, kind="sweep", checkpoint=True, **costs
    ):
        self.start(trial_id, **(config or {"adapter__kind": "none", "learning_rate": 2e-5}))
        self.epochs(trial_id, scores, **costs)
        self.end(trial_id, failed=failed, stopped=stopped, kind=kind, checkpoint=checkpoint)

    def finish(self, reason="completed"):
        self.journal.append(SweepFinished(time=self.clock + 5, reason=reason))
        return self.folder


@pytest.fixture(autouse=True)
def _empty_pictures(monkeypatch):
    monkeypatch.setattr(document, "png_of", lambda drawing: b"")


@pytest.fixture
def pictures(_empty_pictures, monkeypatch):
    """Whoever asks for it gets reports with their pictures, which take a second to draw."""
    monkeypatch.setattr(document, "png_of", DRAW)


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path / "a sweep")


@pytest.fixture
def eight_trials(sweep):
    """Front: t0, t1 (knee), t3. t2 is dominated, t4 too big, t5 unmeasured, t6 failed, t7 interrupted."""
    lora = {"adapter__kind": "lora", "adapter__rank": 8, "learning_rate": 1e-5}
    sweep.trial("t0", [0.6, 0.75], peak_memory_gib=4.8, trainable_parameters=109_482_240, energy_kj=0.1 + 0.2)
    sweep.trial("t1", [0.7, 0.73], peak_memory_gib=2.9, config=lora, trainable_parameters=294_912)
    sweep.trial("t2", [0.6, 0.72], peak_memory_gib=4.9, checkpoint=False)
    sweep.trial("t3", [0.65, 0.60], peak_memory_gib=2.5, config=lora | {"adapter__rank": 2}, checkpoint=False)
    sweep.trial("t4", [0.8], peak_memory_gib=6.5)
    sweep.trial("t5", [0.9], peak_memory_gib=None)
    sweep.trial("t6", [0.5], peak_memory_gib=3.0, failed=NASTY)
    sweep.start("t7", adapter__kind="lora", adapter__rank=4)
    sweep.epochs("t7", [0.99], peak_memory_gib=0.1)
    return sweep.finish("interrupted")


@cache
def configs_of_table(table: int) -> dict[str, TrialConfig]:
    return load_search_space(PAPER / f"table{table}.yaml", data_directory="data").one_config_each()


@pytest.fixture
def paper_spaces():
    """The folder of the search spaces."""
    return PAPER


@pytest.fixture
def paper_configs():
    """Table -> experiment -> its config in the table's search space."""
    return configs_of_table


@pytest.fixture
def paper_config():
    """Table and experiment -> its config in the table's search space."""
    return lambda table, experiment: configs_of_table(table)[experiment]
