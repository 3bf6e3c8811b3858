"""A sweep in a container of limited memory, real: a cgroup, in which another process takes what the trial needs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from command_line import ROOT, command, options

from mtbert_ray.journal import read_journal

pytestmark = pytest.mark.ray
GIB = 2**30
LIMIT, THRESHOLD = 8 * GIB, 0.7
"""Far from the limit, since there the kernel would kill whom it likes."""
INSIDE = 'mount --bind "$0" "$1" && echo $$ > "$1/cgroup.procs" && shift && exec "$@"'
"""Ray and we read the limits of a container at the root of its cgroups, so the limited one is mounted there."""
TAKE = """
import sys, time
from mtbert_ray.resources.node_memory import node_memory
memory = node_memory()
taken = bytearray(b"x") * int(float(sys.argv[1]) * memory.total - memory.used + 2**29)
time.sleep(600)
"""


@contextmanager
def limited_cgroup() -> Iterator[tuple[Path, Path]]:
    """Yield a cgroup of so much memory, and where a process inside has to mount it; skip where there can be none."""
    v1 = Path("/sys/fs/cgroup/memory")
    root = v1 if v1.exists() else Path("/sys/fs/cgroup")
    cgroup = root / f"mtbert-test-{os.getpid()}"
    try:
        cgroup.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        try:
            (cgroup / ("memory.limit_in_bytes" if root == v1 else "memory.max")).write_text(str(LIMIT))
            subprocess.run(["unshare", "-m", "mount", "--bind", cgroup, root], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"the memory of a cgroup cannot be limited or mounted here: {error}")
        yield cgroup, root
    finally:
        cgroup.rmdir()


def wait_for(journal: Path, text: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 180
    while not (journal.exists() and text in journal.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, text
        time.sleep(0.05)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def test_memory_that_another_process_took_is_no_verdict_on_a_trial(space_file, tmp_path):
    if psutil.virtual_memory().available < LIMIT:
        pytest.skip(f"needs {LIMIT / GIB:g} GiB of free memory")
    out = tmp_path / "out"
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment |= {"RAY_memory_usage_threshold": str(THRESHOLD), "RAY_memory_monitor_refresh_ms": "100"}
    one = options(epochs=300, search__learning_rate="{grid: [1e-3]}", search__adapter__kind="{grid: [lora]}")
    with limited_cgroup() as (cgroup, root), (tmp_path / "stderr").open("w") as stderr:
        inside = ["unshare", "-m", "sh", "-c", INSIDE, cgroup, root]
        sweep = subprocess.Popen(
            [*inside, *command("sweep", space_file, "--out", out, *one)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        taker = None
        try:
            wait_for(out / "journal.jsonl", '"event":"epoch"', sweep)
            taker = subprocess.Popen([*inside, sys.executable, "-c", TAKE, str(THRESHOLD)], cwd=ROOT)
            wait_for(out / "journal.jsonl", '"memory_taken"', sweep)
            end(taker)
            assert sweep.wait(240) == 0, (tmp_path / "stderr").read_text()
        finally:
            for process in filter(None, (taker, sweep)):
                end(process)
    [trial] = read_journal(out).trials
    assert trial.status == "finished" and trial.attempts > 1
    assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, 301))
    events = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    failed = [event for event in events if event["event"] == "trial_failed"]
    assert {event["kind"] for event in failed} == {"memory_taken"}
    assert all("others" in event["reason"] and "of 8.0 GiB" in event["reason"] for event in failed)
