"""How much of this machine's CPUs other processes kept busy while a run trained.

Where that cannot be read it is not known, which is not zero.
"""

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from mtbert_ray.resources.node_memory import CGROUPS

_BUSY = ("user", "nice", "system", "irq", "softirq")
"""Of the kinds of time that psutil has; guests count as user, and what a hypervisor took is nobody's here."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class NodeCpu:
    """A reading of the CPU time that all processes have used."""

    seconds: float
    """Since some moment in the past."""
    counted: str
    """What is counted: the same for two processes whose readings count each other."""


ReadNodeCpu = Callable[[], NodeCpu | None]


def read_node_cpu(cgroups: Path = CGROUPS) -> NodeCpu | None:
    """Return the CPU time that all processes on the CPUs of this process have used; None where it is not known.

    A container that may use a share of the machine's CPU time shares that among its own processes: only these are
    counted (cgroup v1 or v2). What other containers do there is not known.
    """
    machine = f"{_boot_id()} {sorted(_own_cpus())}"
    if (path := _limited_usage(cgroups)) is not None:
        seconds, counted = _container_seconds(path), f"{machine} in {platform.node()}"
    else:
        seconds, counted = _busy_seconds(), machine
    return None if seconds is None else NodeCpu(seconds=seconds, counted=counted)


def _limited_usage(cgroups: Path) -> Path | None:
    """Return the file with the CPU time of the container that this is, if its share of the machine's is limited."""
    if _words(cgroups / "cpu.max")[:1] not in ([], ["max"]):
        return cgroups / "cpu.stat"
    if _words(cgroups / "cpu/cpu.cfs_quota_us")[:1] not in ([], ["-1"]):
        return cgroups / "cpuacct/cpuacct.usage"
    return None


def _container_seconds(path: Path) -> float | None:
    words = _words(path)
    if "usage_usec" in words[:-1]:
        used, unit = words[words.index("usage_usec") + 1], 1e-6
    else:
        used, unit = "".join(words), 1e-9
    return int(used) * unit if used.isdecimal() else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except (OSError, ValueError):
        return []


def _busy_seconds() -> float | None:
    try:
        cpus = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, psutil.Error):
        return None
    # CPUs that this process may not use slow nobody down here. Those that are off have no entry: then all count.
    own = _own_cpus()
    used = [cpus[number] for number in own] if own and max(own) < len(cpus) else cpus
    busy = sum(float(getattr(each, kind, 0.0)) for each in used for kind in _BUSY)
    return busy or None  # A sandbox may have the file with nothing in it.


def _own_cpus() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):  # Not on every system.
        return set()


def _boot_id() -> str:
    """Return what tells this machine, also from inside a container, from all others."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return platform.node()


@dataclass(frozen=True, kw_only=True)
class CpuSpan:
    """The CPU time of a process and of all on its node, while one attempt at a run trained."""

    wall_seconds: float
    own_seconds: float
    node_seconds: float | None
    """Of all processes; None where that is not known."""
    counted: str
    """As of `NodeCpu`."""


class CpuTotals:
    """Adds up the CPU time of this process and of its node over the times that count.

    Args:
        read: reads the node's.
        own: seconds of this process.
        clock: seconds that never fall.
    """

    def __init__(self, read: ReadNodeCpu, *, own: Callable[[], float], clock: Callable[[], float]) -> None:
        self._read = read
        self._own = own
        self._clock = clock
        self._since: _Moment | None = None
        self._total = CpuSpan(wall_seconds=0.0, own_seconds=0.0, node_seconds=0.0, counted="")

    def count(self) -> None:
        """Count from now on."""
        self._since = self._now()

    def pause(self) -> None:
        """Count no more until the next `count`."""
        self._total, self._since = self.span(), None

    def span(self) -> CpuSpan:
        """Return the totals so far."""
        if self._since is None:
            return self._total
        now, since, total = self._now(), self._since, self._total
        node_seconds = None
        if total.node_seconds is not None and now.node and since.node and now.node.counted == since.node.counted:
            node_seconds = total.node_seconds + now.node.seconds - since.node.seconds
        return CpuSpan(
            wall_seconds=total.wall_seconds + now.at - since.at,
            own_seconds=total.own_seconds + now.own_seconds - since.own_seconds,
            node_seconds=node_seconds,
            counted=now.node.counted if now.node else "",
        )

    def _now(self) -> "_Moment":
        return _Moment(self._clock(), self._own(), self._read())


class _Moment(NamedTuple):
    at: float
    own_seconds: float
    node: NodeCpu | None


def others_cpus(ranks: Sequence[Sequence[CpuSpan]]) -> float | None:
    """Return how many CPUs of its node other processes kept busy, mean over time, of the rank with the most of it.

    Of each rank there is a span for each attempt. Ranks of a run are no others to each other. None where a rank does
    not know it, or nothing was counted.
    """
    others, wall_seconds = [0.0] * len(ranks), [0.0] * len(ranks)
    for attempt in zip(*ranks, strict=True):
        for rank, span in enumerate(attempt):
            if span.node_seconds is None:
                return None
            ours = sum(each.own_seconds for each in attempt if each.counted == span.counted)
            # The system counts a node's time in ticks, a process's exactly.
            others[rank] += max(0.0, span.node_seconds - ours)
            wall_seconds[rank] += span.wall_seconds
    means = [busy / seconds for busy, seconds in zip(others, wall_seconds, strict=True) if seconds > 0]
    return max(means) if means and len(means) == len(ranks) else None
