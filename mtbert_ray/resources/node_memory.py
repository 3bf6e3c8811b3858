"""How much memory this machine has for us: in a container that is its limit, which psutil does not know."""

from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
_V2 = ("memory.max", "memory.current", "memory.stat", "inactive_file", "active_file")
_V1 = (
    "memory/memory.limit_in_bytes",
    "memory/memory.usage_in_bytes",
    "memory/memory.stat",
    "total_inactive_file",
    "total_active_file",
)


@dataclass(frozen=True, kw_only=True)
class NodeMemory:
    """In bytes."""

    total: int
    available: int
    """What can be had without swapping."""

    @property
    def used(self) -> int:
        """What processes hold; the cache of files does not count."""
        return self.total - self.available


def node_memory(cgroups: Path = CGROUPS) -> NodeMemory:
    """Return the machine's memory or, where it is less, that of the container (cgroup v1 or v2)."""
    memory = psutil.virtual_memory()
    whole = NodeMemory(total=memory.total, available=memory.available)
    for names in (_V2, _V1):
        limited = _of_cgroup(cgroups, *names)
        if limited is not None and limited.total < whole.total:
            return NodeMemory(total=limited.total, available=min(limited.available, whole.available))
    return whole


def _of_cgroup(cgroups: Path, limit: str, usage: str, statistics: str, *caches: str) -> NodeMemory | None:
    try:
        total, used = (int((cgroups / name).read_text()) for name in (limit, usage))
        lines = dict(line.split() for line in (cgroups / statistics).read_text().splitlines())
        used -= sum(int(lines[name]) for name in caches)
    except (OSError, ValueError, KeyError):  # No such cgroup, or `max`: no limit.
        return None
    return NodeMemory(total=total, available=max(0, total - used))
