"""A Ray Tune script as anybody would write it, with nothing of this project but the scheduler.

Usage: plain_ray_script.py FOLDER [NUMBER ITERATION]. The trial of that number waits for ever before it reports that
iteration, unless a file `FOLDER/waited-NUMBER-ITERATION` is there; it writes that file first. Run again in the same
folder, the script restores.
"""

import json
import sys
import time
from pathlib import Path

import ray
from ray import tune

from mtbert_ray.ray_backend.scheduler import ParetoScheduler
from mtbert_ray.study.pruning.rungs import HalvingConfig

NUM_ITERATIONS = 9
# Of each trial: the accuracy it comes to, how soon, the seconds an iteration, the memory in GiB.
TRIALS = [
    (0.80, 3.0, 5.0, 2.0),
    (0.70, 2.0, 3.0, 2.0),
    (0.60, 2.0, 6.0, 1.0),
    (0.90, 4.0, 9.0, 3.0),
    (0.95, 1.0, 4.0, 9.5),
    (0.85, 1.0, 5.5, 2.0),
    (0.50, 1.0, 2.0, 1.0),
    (0.82, 1.0, 7.0, 2.0),
]


def train(config: dict) -> None:
    best, pace, seconds, memory = TRIALS[config["number"]]
    tune.report({"memory_gib": memory})
    for iteration in range(1, NUM_ITERATIONS + 1):
        if [config["number"], iteration] == config["wait"]:
            marker = Path(config["folder"]) / f"waited-{config['number']}-{iteration}"
            if not marker.exists():
                marker.touch()
                time.sleep(600)
        tune.report({"accuracy": best * (1 - 0.5 ** (iteration / pace)), "seconds": seconds * iteration})


def main() -> None:
    folder, wait = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    experiment = folder / "experiment"
    if experiment.exists():
        tuner = tune.Tuner.restore(str(experiment), train)
    else:
        scheduler = ParetoScheduler(
            {"accuracy": "max", "seconds": "min"},
            max_t=NUM_ITERATIONS + 1,
            halving=HalvingConfig(grace=2),
            constraints={"memory_gib": 8.0},
        )
        tuner = tune.Tuner(
            train,
            param_space={"number": tune.grid_search(list(range(len(TRIALS)))), "folder": str(folder), "wait": wait},
            tune_config=tune.TuneConfig(
                scheduler=scheduler,
                max_concurrent_trials=1,
                reuse_actors=True,
                trial_name_creator=lambda trial: f"t{trial.config['number']}",
            ),
            run_config=tune.RunConfig(name="experiment", storage_path=str(folder), verbose=0),
        )
    results = tuner.fit()
    iterations = {result.config["number"]: result.metrics["training_iteration"] for result in results}
    errors = [str(error) for error in results.errors]
    print(json.dumps({"iterations": iterations, "errors": errors, "torch": "torch" in sys.modules}))


if __name__ == "__main__":
    main()
