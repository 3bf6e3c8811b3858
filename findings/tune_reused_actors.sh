#!/usr/bin/env bash
# Version:   ray 2.60.0 (Tune).
# Guess:     with reuse_actors and max_concurrent_trials=2, two trials run at a time once two actors are up.
# Behavior:  where trials are shorter than the start of an actor, no second actor ever comes up: an actor that is free is handed
#            to the trial whose own actor is starting, and that start is given up. All trials run one after another, and
#            nothing says so.
# Source:    run here; ray/tune/execution/tune_controller.py, _maybe_reuse_cached_actor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "ray[tune]==2.60.0"
cat > "$folder/script.py" <<'PY'
import logging
import sys
import time

import ray
from ray import tune


class Short(tune.Trainable):
    """Takes seconds to come up, as one does that imports a deep-learning library, and then little for a trial."""

    def setup(self, config):
        time.sleep(4)
        self.started = time.time()

    def reset_config(self, new_config):
        self.started = time.time()
        return True

    def step(self):
        time.sleep(1)
        return {"started": self.started, "ended": time.time(), "done": True}


ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
results = tune.Tuner(
    tune.with_resources(Short, {"CPU": 1}),
    param_space={"number": tune.grid_search(list(range(12)))},
    tune_config=tune.TuneConfig(max_concurrent_trials=2, reuse_actors=True),
    run_config=tune.RunConfig(storage_path=sys.argv[1], verbose=0),
).fit()
spans = [(result.metrics["started"], result.metrics["ended"]) for result in results]
edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
running = most = 0
for _, change in edges:
    running += change
    most = max(most, running)
actors = {result.metrics["pid"] for result in results}
print(f"{len(spans)} trials of 1 s, 2 slots: {most} at a time at most, in {len(actors)} process(es)")
assert most == 1 and len(actors) == 1, "the behavior has changed"
PY
RAY_USAGE_STATS_ENABLED=0 RAY_AIR_NEW_OUTPUT=0 "$folder/venv/bin/python" "$folder/script.py" "$folder/results" 2>/dev/null
