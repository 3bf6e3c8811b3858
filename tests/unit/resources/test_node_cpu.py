"""What other processes took of the CPUs: closed forms on made-up readings, real ones of this machine, and null."""

import subprocess
import sys
import time
from collections import namedtuple

import psutil
import pytest

from mtbert_ray.resources import node_cpu
from mtbert_ray.resources.meter import Meter
from mtbert_ray.resources.node_cpu import CpuSpan, CpuTotals, NodeCpu, others_cpus, read_node_cpu
from mtbert_ray.resources.usage import Usage

NEVER = 3600.0  # The meter's thread takes no sample of its own.


def span(wall=10.0, own=8.0, node=12.0, counted="node a") -> CpuSpan:
    return CpuSpan(wall_seconds=wall, own_seconds=own, node_seconds=node, counted=counted)


def test_others_are_the_node_s_less_our_own():
    assert others_cpus([[span()]]) == pytest.approx(0.4)


def test_ranks_of_a_run_are_no_others_to_each_other():
    assert others_cpus([[span(own=8, node=15)], [span(own=6, node=15)]]) == pytest.approx(0.1)
    apart = [[span(own=8, node=15)], [span(own=6, node=15, counted="node b")]]
    assert others_cpus(apart) == pytest.approx(0.9), "of the rank with the most"


def test_attempts_count_by_their_time():
    earlier, later = span(wall=30, own=30, node=36), span(wall=10, own=10, node=20, counted="node b")
    assert others_cpus([[earlier, later]]) == pytest.approx((6 + 10) / 40)
    on_one, then_on_two = [span(own=8, node=16), span(own=8, node=8)], [span(own=8, node=16), span(own=8, counted="b")]
    assert others_cpus([on_one, then_on_two]) == pytest.approx((0 + 4) / 20)


def test_the_coarse_ticks_of_the_system_are_never_less_than_nothing():
    assert others_cpus([[span(own=8.0, node=7.98)]]) == 0.0


@pytest.mark.parametrize(
    "ranks", [[[span(node=None)]], [[span()], [span(node=None)]], [[span(), span(node=None)]], [[span(wall=0)]], [[]]]
)
def test_what_is_not_known_is_null(ranks):
    assert others_cpus(ranks) is None


def totals_of(*moments) -> CpuTotals:
    """Moments are (clock, own seconds, node's seconds or None), one after the other."""
    clock, own, node = (list(column) for column in zip(*moments, strict=True))
    return CpuTotals(
        lambda: None if (seconds := node.pop(0)) is None else NodeCpu(seconds=seconds, counted="node a"),
        own=lambda: own.pop(0),
        clock=lambda: clock.pop(0),
    )


def test_only_what_counts_is_counted():
    totals = totals_of((100, 5, 50), (110, 13, 62), (200, 20, 90), (205, 24, 96), (210, 29, 104))
    totals.count()
    totals.pause()
    assert totals.span() == span(wall=10, own=8, node=12)
    totals.count()
    assert totals.span() == span(wall=15, own=12, node=18), "while it counts"
    totals.pause()
    assert totals.span() == span(wall=20, own=17, node=26)


def test_a_reading_that_fails_once_leaves_the_total_unknown():
    totals = totals_of((0, 0, 0), (1, 1, None), (2, 1, 3), (3, 2, 4))
    for _ in range(2):
        totals.count()
        totals.pause()
    assert (totals.span().node_seconds, totals.span().wall_seconds) == (None, 2)


def test_another_process_is_seen_and_our_own_work_is_not():
    """As much as it really got: this machine may be busy."""
    spin = "import time\nwhile time.process_time() < 1.0: pass\nprint(time.process_time())"
    with Meter(None, interval_seconds=NEVER) as meter:
        started, own = time.monotonic(), time.process_time()
        with meter.counting():
            used = float(
                subprocess.run([sys.executable, "-c", spin], capture_output=True, check=True, text=True).stdout
            )
        with meter.counting():
            while time.process_time() - own < 0.5:
                pass
        elapsed, own = time.monotonic() - started, time.process_time() - own
        [counted] = meter.usage().cpu_spans
    others = others_cpus([[counted]])
    assert counted.wall_seconds == pytest.approx(elapsed, abs=0.05) and counted.own_seconds >= 0.45
    assert others * counted.wall_seconds >= 0.9 * used
    assert others * counted.wall_seconds <= psutil.cpu_count() * elapsed - own + 0.2


def test_usages_of_attempts_keep_their_spans_through_a_state():
    first = Usage(peak_rss_gib=1.0, cpu_seconds=2.0, cpu_spans=(span(),))
    second = Usage(peak_rss_gib=1.0, cpu_seconds=2.0, cpu_spans=(span(node=20.0),))
    both = second.after(first)
    assert both.cpu_spans == (span(), span(node=20.0))


# What is read


def test_on_this_machine_it_grows_and_is_the_same_for_all_its_processes():
    first, second = read_node_cpu(), read_node_cpu()
    assert first is not None and second.seconds >= first.seconds > 0
    code = "from mtbert_ray.resources.node_cpu import read_node_cpu; print(read_node_cpu().counted)"
    another = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()
    assert another == first.counted


Times = namedtuple("Times", ["user", "nice", "system", "idle", "iowait", "steal"])


@pytest.mark.parametrize(
    ("cpus", "seconds"), [({0, 2}, 1 + 2 + 4 + 300 + 20), ({7}, 327 + 10), (set(), 327 + 10), ({1}, 10)]
)
def test_only_the_cpus_that_the_process_may_use_count(monkeypatch, tmp_path, cpus, seconds):
    times = [Times(1, 2, 4, 1000, 50, 9), Times(10, 0, 0, 0, 0, 0), Times(300, 0, 20, 0, 0, 0)]
    monkeypatch.setattr(node_cpu, "_own_cpus", lambda: cpus)
    monkeypatch.setattr(node_cpu.psutil, "cpu_times", lambda percpu: times)
    assert read_node_cpu(tmp_path).seconds == seconds


@pytest.mark.parametrize("times", [[], [Times(0, 0, 0, 0, 0, 0)]])
def test_a_sandbox_without_figures_is_not_known(monkeypatch, tmp_path, times):
    monkeypatch.setattr(node_cpu.psutil, "cpu_times", lambda percpu: times)
    assert read_node_cpu(tmp_path) is None


V2 = {"cpu.max": "200000 100000\n", "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"}
V1 = {"cpu/cpu.cfs_quota_us": "50000\n", "cpuacct/cpuacct.usage": "2500000000\n"}


@pytest.mark.parametrize("files", [V2, V1])
def test_a_container_with_a_share_of_the_cpus_counts_its_own_processes(tmp_path, files):
    write(tmp_path, files)
    reading = read_node_cpu(tmp_path)
    assert reading.seconds == pytest.approx(2.5)
    assert reading.counted != read_node_cpu().counted


@pytest.mark.parametrize(
    "files", [{**V2, "cpu.max": "max 100000\n"}, {**V1, "cpu/cpu.cfs_quota_us": "-1\n"}, {"cpu.max": ""}, {}]
)
def test_one_without_a_limit_counts_the_machine(tmp_path, files):
    write(tmp_path, files)
    assert read_node_cpu(tmp_path).counted == read_node_cpu().counted


@pytest.mark.parametrize(
    "files", [{**V2, "cpu.stat": "user_usec 3\n"}, {**V2, "cpu.stat": "usage_usec"}, {"cpu.max": "1 2"}]
)
def test_one_with_a_limit_and_no_figure_is_not_known(tmp_path, files):
    write(tmp_path, files)
    assert read_node_cpu(tmp_path) is None


def write(folder, files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
