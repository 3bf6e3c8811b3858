"""The scheduler in somebody else's Ray Tune script, killed in the middle and restored."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtbert_ray.ray_backend.scheduler import STATE_NAME
from mtbert_ray.study.pruning.decision import Decision

pytestmark = pytest.mark.ray

SCRIPT = Path(__file__).parent.parent / "support" / "plain_ray_script.py"
ENVIRONMENT = {
    "TUNE_GLOBAL_CHECKPOINT_S": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def start(folder: Path, *wait: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *map(str, wait)],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def decisions_in(folder: Path) -> dict[str, Decision]:
    rule = json.loads((folder / "experiment" / STATE_NAME).read_text())["rule"]
    return {each["trial"]: Decision.from_json(each) for each in (*rule["rungs"]["stopped"], *rule["by_costs"])}


def test_killed_and_restored_a_plain_script_decides_as_one_that_ran_through(tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    expected = end_of(start(whole))
    assert expected["errors"] == []
    assert not expected["torch"], "the scheduler brought torch into a script that has no use for it"
    reasons = {name: decision.in_words("iteration") for name, decision in decisions_in(whole).items()}
    assert reasons["t4"] == "probe: its memory_gib would be 9.5, limit 8"
    assert reasons["t3"].startswith("iteration 2: dominated on both objectives by t0, t1, t2;")
    assert expected["iterations"]["4"] == 1 and expected["iterations"]["0"] == 10

    # Between two rungs of the sixth trial, when others have finished, or been stopped.
    process = start(killed, 5, 4)
    while not (killed / "waited-5-4").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    before = decisions_in(killed)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < len(before) < len(reasons)

    assert end_of(start(killed)) == expected
    assert decisions_in(killed) == decisions_in(whole)
