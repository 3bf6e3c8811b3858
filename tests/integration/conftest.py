"""One Ray for all tests whose point is not how Ray starts, and a space for it."""

import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer
from command_line import ONE_AT_A_TIME, ROOT, TINY_SPACE
from typer.testing import CliRunner, Result


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
    path.write_text(TINY_SPACE + ONE_AT_A_TIME)
    return path


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a benchmark by its name, in this process."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def run(name: str, *arguments: object) -> Result:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(import_module("mistakes").told_to_the_user()(import_module(name).main))
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
