"""Three trials of a real Tune, started by test_out_of_memory_on_ray.py; the second takes memory until it is killed.

Prints what Tune reported of each, by trial, as JSON.
"""

import json
import sys
from pathlib import Path

import psutil
from ray import cloudpickle, tune

from mtbert_ray.compat import replaced_actor_errors
from mtbert_ray.ray_backend.failure import as_dead_actor, memory_message
from mtbert_ray.ray_backend.session import ray_session

GIB = 2**30


class Hungry(tune.Trainable):
    """Takes memory until Ray ends it, in one trial; any other ends well."""

    def setup(self, config):
        self._config = config

    def reset_config(self, new_config):
        self._config = new_config
        return True

    def step(self):
        held = []
        while self._config["trial_id"] == "t1" and psutil.virtual_memory().available > GIB:
            held.append(bytearray(b"x") * (32 * 2**20))
        return {"done": True}


class Endings(tune.Callback):
    """Keeps how each trial ended."""

    def __init__(self):
        self.of = {}

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.of[trial.config["trial_id"]] = "complete"

    def on_trial_error(self, iteration, trials, trial, **info):
        path = trial.pickled_error_file  # None of an actor that never came up.
        error = None if path is None else cloudpickle.loads(Path(path).read_bytes())
        self.of[trial.config["trial_id"]] = memory_message(error) or repr(error)


endings = Endings()
with ray_session(None, runs_ray_train=False), replaced_actor_errors(as_dead_actor):
    tune.Tuner(
        tune.with_resources(Hungry, {"CPU": 1}),
        param_space=tune.grid_search([{"trial_id": f"t{number}"} for number in range(3)]),
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=f"{sys.argv[1]}/ray",
            callbacks=[endings],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
print(json.dumps(endings.of))
