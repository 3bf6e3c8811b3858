"""Three trials of a real Tune, started by test_out_of_memory_on_ray.py; the second takes memory until it is killed.

Prints what Tune heard of each, by trial, as JSON.
"""

import json
import sys

import psutil
from mtbert_ray.ray_backend.killed_actor import killed_actors_end_only_their_trial
from ray import tune

from mtbert_ray.ray_backend.failure import memory_message
from mtbert_ray.ray_backend.session import ray_session
from mtbert_ray.ray_backend.train import drive_trial
from mtbert_ray.ray_backend.tune import error_of

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
        return {"event": '{"event": "epoch", "metrics": {"epoch": 1}}', "done": True}


class Heard(tune.Callback):
    """Keeps what Tune heard, without its repetitions."""

    def __init__(self):
        self.of = {}

    def on_trial_result(self, iteration, trials, trial, result, **info):
        heard = self.of.setdefault(trial.config["trial_id"], [])
        event = json.loads(result["event"])
        line = [event["event"], event.get("reason") or event["metrics"].get("epoch")]
        if line not in heard:
            heard.append(line)

    def on_trial_complete(self, iteration, trials, trial, **info):
        self.of[trial.config["trial_id"]] = "complete"

    def on_trial_error(self, iteration, trials, trial, **info):
        error = error_of(trial)
        self.of.setdefault(trial.config["trial_id"], []).append(memory_message(error) or repr(error))


def given(number: int, num_workers: int) -> dict:
    dotted = {**SMALL, **(TOO_MUCH if number == 1 else {}), "resources.num_workers": num_workers}
    trial = TrialConfig.model_validate(nest(dotted)).model_dump(mode="json")
    return {"trial_id": f"t{number}", "trial": trial, "probe": {"steps": 2, "warmup_steps": 1}}


folder, what = sys.argv[1:]
trainable, resources = {
    "inline": (tune.with_parameters(InlineTrial, sweep_folder=folder), {"CPU": 1}),
    "train": (tune.with_parameters(drive_trial, sweep_folder=folder), {"CPU": DRIVER_CPUS}),
    "killed": (Hungry, {"CPU": 1}),
}[what]
# Starting workers takes Ray Train long.
numbers = (1, 2) if what == "train" else (0, 1, 2)
heard = Heard()
with ray_session(None, runs_ray_train=what == "train"), killed_actors_end_only_their_trial():
    tune.Tuner(
        tune.with_resources(Hungry, {"CPU": 1}),
        param_space=tune.grid_search([{"trial_id": f"t{number}"} for number in range(3)]),
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=f"{folder}/ray",
            callbacks=[heard],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
print(json.dumps(heard.of))
