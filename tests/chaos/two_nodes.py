"""A Ray of two nodes on this machine, and which of its processes run a trial."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

TITLES = {
    "trial": ("ray::InlineTrial", "ray::ResourceTrainable", "ray::ImplicitFunc"),
    "worker": ("ray::RayTrainWorker",),
}
"""How the processes of Ray's workers are called."""


class TwoNodes:
    """A Ray of two nodes on this machine, that others have started: the second of them can be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.second = self.cluster.add_node(num_cpus=1)

    def kill(self) -> bool:
        """Kill the second node, if it runs a trial, and start another one in its place."""
        raylet = psutil.Process(self.second.all_processes["raylet"][0].process.pid)
        titles = tuple(title for each in TITLES.values() for title in each)
        if not any(has_title(each, titles) for each in raylet.children(recursive=True)):
            return False
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=1)
        return True

    def raylets(self) -> list[psutil.Process]:
        return [
            psutil.Process(node.all_processes["raylet"][0].process.pid)
            for node in (self.cluster.head_node, self.second)
        ]


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    nodes = TwoNodes()
    try:
        yield nodes
    finally:
        nodes.cluster.shutdown()


def has_title(process: psutil.Process, titles: tuple[str, ...]) -> bool:
    try:
        title = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return title.startswith(titles) or title.partition(" ")[0].endswith(titles)
