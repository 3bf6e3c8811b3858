"""The benchmark of a sweep's own share runs from start to table."""

import pytest

pytestmark = pytest.mark.ray


def test_overhead_prints_seconds_and_memory(benchmark):
    done = benchmark("overhead", "--encoder", "tiny", "--trials", 3, "--at-a-time", 1)
    assert done.exit_code == 0, (done.output, done.exception)
    memory, gap = done.stdout.strip().splitlines()
    assert memory.startswith("1 at a time: ") and float(memory.split()[4]) > 0
    assert float(gap.split("median ")[1].split(",")[0]) > 0 and gap.endswith("(2 trials)")


def test_overhead_tells_why_its_sweep_ended(benchmark):
    done = benchmark("overhead", "--encoder", "tiny", "--data", "nowhere")
    assert done.exit_code == 2 and "must be the folder of the course's files" in done.stderr
