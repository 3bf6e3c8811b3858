"""Trials of a real Tune that run out of memory, by each launcher, and one that Ray's monitor really kills."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ray

WHOLE = [["probe", 0], ["epoch", 1], ["epoch", 2], "complete"]
OUT_OF_MEMORY = [["out_of_memory", 0], "complete"]


def sweep(folder: Path, what: str, **env: str) -> dict[str, list]:
    script = Path(__file__).parent / "out_of_memory_sweep.py"
    done = subprocess.run(
        [sys.executable, script, folder, what], capture_output=True, text=True, timeout=400, env=os.environ | env
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_trial_without_room_ends_and_its_process_takes_the_next(tmp_path):
    assert sweep(tmp_path, "inline") == {"t0": WHOLE, "t1": OUT_OF_MEMORY, "t2": WHOLE}


def test_a_trial_whose_ranks_have_no_room_ends_and_the_sweep_goes_on(tmp_path):
    assert sweep(tmp_path, "train") == {"t1": OUT_OF_MEMORY, "t2": WHOLE}


def test_a_trial_that_ray_kills_for_memory_ends_and_the_sweep_goes_on(tmp_path):
    memory = psutil.virtual_memory()
    room = 2 * 2**30
    if memory.available < 2 * room:
        pytest.skip(f"needs {2 * room / 2**30:g} GiB of free memory, to be killed at half of it")
    threshold = (memory.total - memory.available + room) / memory.total
    told = sweep(tmp_path, "killed", RAY_memory_usage_threshold=str(threshold), RAY_memory_monitor_refresh_ms="100")
    (reason,) = told["t1"]
    assert reason.startswith("the node's memory was running out, and Ray ended the process when ")
    # What else runs on this machine can take the room of the others, too: then they are ended as well.
    assert set(told) == {"t0", "t1", "t2"}
