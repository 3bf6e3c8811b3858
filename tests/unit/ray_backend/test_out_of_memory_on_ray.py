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


def test_a_trial_that_ray_kills_for_memory_ends_and_the_sweep_continues(tmp_path):
    memory = psutil.virtual_memory()
    room = 2 * 2**30
    if memory.available < 2 * room:
        pytest.skip(f"needs {2 * room / 2**30:g} GiB of free memory, to be killed at half of it")
    threshold = (memory.total - memory.available + room) / memory.total
    monitor = {"RAY_memory_usage_threshold": str(threshold), "RAY_memory_monitor_refresh_ms": "100"}
    script = Path(__file__).parent / "out_of_memory_sweep.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=400, env=os.environ | monitor
    )
    assert done.returncode == 0, done.stderr
    endings = json.loads(done.stdout.splitlines()[-1])
    assert endings["t1"].startswith("the node's memory was running out, and Ray ended the process when ")
    # What else runs on this machine can take the room of the others, too: then they are ended as well.
    assert set(endings) == {"t0", "t1", "t2"}
