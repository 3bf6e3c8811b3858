"""Two slots, and trials that are shorter than the start of a second process: Ray Tune itself hands out the actors."""

import os
import time
from pathlib import Path

import pytest
from ray import tune
from ray.tune.search import Searcher

from mtbert_ray.ray_backend.session import ray_session
from mtbert_ray.ray_backend.slots import NewestFirst

pytestmark = pytest.mark.ray


class Short(tune.Trainable):
    """A trial of a moment. The first process is up at once, every other one after some seconds."""

    def setup(self, config: dict, *, folder: str) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / "first").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(4)

    def reset_config(self, new_config: dict) -> bool:
        return True

    def step(self) -> dict:
        (self.folder / f"ran-in-{os.getpid()}").touch()
        time.sleep(0.05)
        return {"done": True}


class UntilBothRan(Searcher):
    """Asks for trials until two processes have run some, or a time that is enough for it has passed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.number, self.until = folder, 0, time.monotonic() + 60

    def suggest(self, trial_id: str) -> dict | str:
        if len(list(self.folder.glob("ran-in-*"))) > 1 or time.monotonic() > self.until:
            return Searcher.FINISHED
        self.number += 1
        return {"number": self.number}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()


def test_a_second_process_is_not_ended_while_it_starts(ray_address, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    worker = tune.with_resources(tune.with_parameters(Short, folder=str(tmp_path)), {"CPU": 1})
    with ray_session(ray_address, runs_ray_train=False):
        tune.Tuner(
            worker,
            tune_config=tune.TuneConfig(
                search_alg=UntilBothRan(tmp_path),
                scheduler=NewestFirst(),
                num_samples=-1,
                max_concurrent_trials=2,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(tmp_path / "ray"),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()
    assert len(list(tmp_path.glob("ran-in-*"))) == 2
