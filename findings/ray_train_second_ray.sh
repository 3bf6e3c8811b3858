#!/usr/bin/env bash
# Version:   ray 2.60.0.
# Guess:     a Ray Train run inside a Tune trial gives its workers' CPUs back once Tune has stopped the trial, whatever else runs.
# Behavior:  not on a machine on which a second Ray runs. The actor that frees the placement group asks the State API without
#            an address, and so looks for "the" Ray of the machine; that fails, its thread ends, and the CPUs are never given
#            back. The next trial waits for workers until its start times out. With RAY_ADDRESS in the environment of Ray
#            Train's controller, which that actor inherits, they are freed; Ray Train does not hand it on by itself.
# Source:    run here; ray/train/v2/_internal/state/util.py (is_actor_alive) and ray/_private/services.py.
set -euo pipefail
folder=$(mktemp -d)
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "ray[default,train,tune]==2.60.0"
export RAY_USAGE_STATS_ENABLED=0 PYTHONWARNINGS=ignore
trap 'rm -rf "$folder"' EXIT
cat > "$folder/run.py" <<'PY'
import sys
import time

import ray
from ray import train, tune
from ray.train.data_parallel_trainer import DataParallelTrainer
from ray.tune.integration.ray_train import TuneReportCallback
from ray.util import placement_group_table

PROPAGATE = sys.argv[1] == "with-address"


def worker() -> None:
    for step in range(1000):
        train.report({"step": step})
        time.sleep(0.2)


def trial(config: dict) -> None:
    if PROPAGATE:
        import os

        from ray.train.v2._internal import constants

        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        constants.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    trainer = DataParallelTrainer(
        worker,
        scaling_config=train.ScalingConfig(num_workers=1),
        run_config=train.RunConfig(storage_path=config["folder"], callbacks=[TuneReportCallback()]),
    )
    trainer.fit()


ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False, logging_level="ERROR")
tuner = tune.Tuner(
    trial,
    param_space={"folder": sys.argv[2]},
    run_config=tune.RunConfig(stop={"step": 3}, storage_path=sys.argv[2], verbose=0),
)
tuner.fit()
deadline = time.monotonic() + 40
while (held := [g for g in placement_group_table().values() if g["state"] == "CREATED"]) and time.monotonic() < deadline:
    time.sleep(1)
print("HELD" if held else "FREED", flush=True)
PY
cat > "$folder/second.py" <<'PY'
import sys
import time

import ray

ray.init(address="local", num_cpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print("up", flush=True)
sys.stdin.read()
PY
run() { "$folder/venv/bin/python" "$folder/run.py" "$1" "$folder/results-$2" 2>"$folder/stderr" | tail -n 1; }
alone=$(run without-address 1)
echo "one Ray on the machine: the stopped trial's placement group is $alone"
coproc second { "$folder/venv/bin/python" "$folder/second.py" 2>"$folder/second.err"; }
read -r _ <&"${second[0]}"
beside=$(run without-address 2)
echo "beside a second Ray: $beside after 40 s"
given=$(run with-address 3)
echo "beside a second Ray, RAY_ADDRESS handed on: $given"
exec {second[1]}>&-
wait "$second_PID" || true
[ "$alone $beside $given" = "FREED HELD FREED" ] || { echo "the behavior has changed" >&2; exit 1; }
