"""A trial of a real Tune that Ray's monitor really kills for memory.

What a worker itself finds too large is in tests/integration/test_trial_endings.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ray

WHOLE = [["probe", None], ["epoch", 1], ["epoch", 2], "complete"]


def sweep(folder: Path, what: str, **env: str) -> dict[str, list]:
    script = Path(__file__).parent / "out_of_memory_sweep.py"
    done = subprocess.run(
        [sys.executable, script, folder, what], capture_output=True, text=True, timeout=400, env=os.environ | env
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_out_of_memory(heard: list) -> None:
    (kind, reason), end = heard
    assert (kind, end) == ("trial_stopped", "complete")
    assert reason.startswith("out of memory: asked for ")


def test_a_trial_without_room_ends_and_its_process_takes_the_next(tmp_path):
    heard = sweep(tmp_path, "inline")
    assert_out_of_memory(heard.pop("t1"))
    assert heard == {"t0": WHOLE, "t2": WHOLE}


def test_a_trial_whose_ranks_have_no_room_ends_and_the_sweep_continues(tmp_path):
    heard = sweep(tmp_path, "train")
    assert_out_of_memory(heard.pop("t1"))
    assert heard == {"t2": WHOLE}


def test_a_trial_that_ray_kills_for_memory_ends_and_the_sweep_continues(tmp_path):
    memory = psutil.virtual_memory()
    room = 2 * 2**30
    if memory.available < 2 * room:
        pytest.skip(f"needs {2 * room / 2**30:g} GiB of free memory, to be killed at half of it")
    threshold = (memory.total - memory.available + room) / memory.total
    heard = sweep(tmp_path, "killed", RAY_memory_usage_threshold=str(threshold), RAY_memory_monitor_refresh_ms="100")
    (reason,) = heard["t1"]
    assert reason.startswith("the node's memory was running out, and Ray ended the process when ")
    # What else runs on this machine can take the room of the others, too: then they are ended as well.
    assert set(heard) == {"t0", "t1", "t2"}
