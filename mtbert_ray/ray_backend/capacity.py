"""Whether and how often a trial fits into a cluster, as it is and as it may grow; without Ray."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mtbert_ray.config import ResourceConfig
from mtbert_ray.errors import ResourceError

DRIVER_CPUS = 0.01
"""Of the Tune driver of a trial under Ray Train: it only waits, and Ray refuses a request of 0."""

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of a node, or the sum of several."""

    cpus: float
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{_count(self.cpus, 'CPU')}, {_count(self.gpus, 'GPU')}"


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Nodes of one kind that an autoscaler may start."""

    node: Node
    max_nodes: int


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How far an autoscaler may go."""

    groups: tuple[NodeGroup, ...]
    max_nodes: int
    """Over all groups."""
    fixed: tuple[Node, ...] = ()
    """Nodes of no group, as the head."""

    def largest(self, worth: Callable[[Node], float]) -> list[Node]:
        """Return the nodes of the fully grown cluster, the groups with the highest worth first."""
        grown: list[Node] = []
        for group in sorted(self.groups, key=lambda group: worth(group.node), reverse=True):
            grown += [group.node] * min(group.max_nodes, self.max_nodes - len(grown))
        return [*self.fixed, *grown]


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a cluster has now and may grow to."""

    nodes: tuple[Node, ...]
    growth: Growth | None = None
    growth_unknown: bool = False
    """There is an autoscaler, and Ray does not report its limits."""

    @property
    def may_grow_to(self) -> Node | None:
        """The most of each resource that an autoscaler could reach; None without an autoscaler of known limits."""
        if self.growth is None:
            return None
        return Node(
            cpus=sum(node.cpus for node in self.growth.largest(lambda node: node.cpus)),
            gpus=sum(node.gpus for node in self.growth.largest(lambda node: node.gpus)),
        )

    @property
    def description(self) -> str:
        """As `1 node: 2 CPUs, 0 GPUs`."""
        words = f"{_count(len(self.nodes), 'node')}: {_in_words(Counter(self.nodes))}"
        if self.growth is not None:
            kinds: Counter[Node] = Counter()
            for group in self.growth.groups:
                kinds[group.node] += group.max_nodes
            words += f"; it may start up to {_count(self.growth.max_nodes, 'node')}: {_in_words(kinds)}"
        return f"{words}; it may grow, but Ray does not tell how far" if self.growth_unknown else words


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """The resources of one trial: each worker fits on one node, the driver anywhere."""

    num_workers: int = 1
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    driver_cpus: float = 0.0

    @classmethod
    def of(cls, resources: ResourceConfig) -> Self:
        """Return the request of a trial after `resolve_gpus`."""
        assert resources.gpus_per_worker != "auto", "resolve_gpus comes first"
        return cls(
            num_workers=resources.num_workers,
            cpus_per_worker=resources.cpus_per_worker,
            gpus_per_worker=resources.gpus_per_worker,
            driver_cpus=DRIVER_CPUS if resources.uses_ray_train else 0.0,
        )

    @property
    def description(self) -> str:
        """As `2 x (4 CPUs, 1 GPU)`."""
        return f"{self.num_workers} x ({Node(cpus=self.cpus_per_worker, gpus=self.gpus_per_worker)})"


def resolve_gpus(resources: ResourceConfig, capacity: Capacity) -> ResourceConfig:
    """Return the resources with `auto` GPUs resolved: 1 a worker where the cluster has or can start GPUs, else 0.

    Raises:
        ResourceError: there is no GPU now, and the autoscaler's limits are unknown.
    """
    if resources.gpus_per_worker != "auto":
        return resources
    most = capacity.may_grow_to
    has_gpus = any(node.gpus > 0 for node in capacity.nodes) or (most is not None and most.gpus > 0)
    if not has_gpus and capacity.growth_unknown:
        raise ResourceError(
            f"resources.gpus_per_worker is 'auto', and the cluster has {capacity.description}: whether trials will "
            "have a GPU cannot be known; set resources.gpus_per_worker to 1 or 0"
        )
    return resources.model_copy(update={"gpus_per_worker": 1.0 if has_gpus else 0.0})


def check(request: TrialRequest, capacity: Capacity) -> None:
    """Check that a trial can be placed: Ray itself would wait for ever.

    Raises:
        ResourceError: the cluster can never hold one trial; a warning where its growth is unknown.
    """
    rooms = _rooms(request, capacity)
    workers = sum(room.workers(request) for room in rooms)
    if _place(rooms, request):
        return
    if capacity.growth_unknown:
        warnings.warn(
            f"a trial needs {request.description} and waits for it; the cluster has {capacity.description}",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    if workers == 0:
        lower = "resources.cpus_per_worker or resources.gpus_per_worker lower"
        advice = f"no node holds one worker: set {lower}, or use larger nodes"
    elif workers < request.num_workers:
        advice = f"set resources.num_workers to {workers} or less, or use more nodes"
    else:
        advice = f"its driver needs {request.driver_cpus:g} CPU besides: set resources.num_workers lower"
    raise ResourceError(f"a trial needs {request.description}; the cluster has {capacity.description}; {advice}")


def max_concurrent(request: TrialRequest, capacity: Capacity) -> int:
    """Return how many trials the fully grown cluster can hold at once, at least 1."""
    rooms, trials = _rooms(request, capacity), 0
    while _place(rooms, request):
        trials += 1
    return max(trials, 1)


@dataclass(kw_only=True)
class _Room:
    """The free resources of a node."""

    cpus: float
    gpu_shares: float
    """How many more workers fit on its GPUs."""

    def workers(self, request: TrialRequest, *, without_cpus: float = 0.0) -> int:
        by_cpus = math.floor((self.cpus - without_cpus) / request.cpus_per_worker + _ROUNDING)
        return max(0, int(min(by_cpus, self.gpu_shares)))


def _rooms(request: TrialRequest, capacity: Capacity) -> list[_Room]:
    def room(node: Node) -> _Room:
        share = request.gpus_per_worker
        if share == 0:
            return _Room(cpus=node.cpus, gpu_shares=math.inf)
        # A fraction is of one GPU: the rest of a GPU after the last whole share stays unused.
        shares = node.gpus // share if share >= 1 else node.gpus * math.floor(1 / share + _ROUNDING)
        return _Room(cpus=node.cpus, gpu_shares=shares)

    if capacity.growth is None:
        return [room(node) for node in capacity.nodes]
    return [room(node) for node in capacity.growth.largest(lambda node: room(node).workers(request))]


def _place(rooms: Sequence[_Room], request: TrialRequest) -> bool:
    """Take one trial's resources out of the rooms and return whether it fits; if not, the rooms are invalid."""
    if request.driver_cpus > 0:
        open_rooms = [room for room in rooms if room.cpus + _ROUNDING >= request.driver_cpus]
        if not open_rooms:
            return False

        def workers_lost(room: _Room) -> int:
            return room.workers(request) - room.workers(request, without_cpus=request.driver_cpus)

        min(open_rooms, key=workers_lost).cpus -= request.driver_cpus
    missing = request.num_workers
    for room in rooms:
        taken = min(missing, room.workers(request))
        room.cpus -= taken * request.cpus_per_worker
        room.gpu_shares -= taken
        missing -= taken
    return missing == 0


def _count(number: float, thing: str) -> str:
    return f"{number:g} {thing}{'' if number == 1 else 's'}"


def _in_words(kinds: Mapping[Node, int]) -> str:
    """Return `2 CPUs, 0 GPUs` for one node and `2 x (4 CPUs, 1 GPU), 1 x (8 CPUs, 0 GPUs)` for several."""
    if len(kinds) == 1 and sum(kinds.values()) == 1:
        return str(next(iter(kinds)))
    return ", ".join(f"{number} x ({node})" for node, number in kinds.items())
