"""One Ray for all tests whose point is not how Ray starts, and a space for it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY_SPACE


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The address of a Ray of one node on this machine, with room for the driver of a trial under Ray Train."""
    from ray.cluster_utils import Cluster

    with socket.socket() as free:  # Another Ray of this machine may have the usual port.
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 3, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    """A space of four quick trials."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_SPACE)
    return path
