"""A trial's checkpoint comes from the node that holds it, on a real Ray."""

from pathlib import Path

import pytest
import ray
from ray.exceptions import RayError

from mtbert_ray.ray_backend.session import collect_folder, ray_session
from mtbert_ray.ray_backend.worker import report_of
from mtbert_ray.training.metering import MeteredEpoch

pytestmark = pytest.mark.ray

NO_NODE = "0" * 55 + "1"


@pytest.fixture(scope="module")
def node_id(ray_address):
    """The only node of the Ray that runs, as a trial's report names it."""
    with ray_session(ray_address, runs_ray_train=False):
        report = report_of(
            "t000",
            MeteredEpoch(metrics={"epoch": 1}, undefined={}, is_last=True, gpu_problem=None, profile_problem=None),
        )
        assert report["node_id"] == ray.nodes()[0]["NodeID"]
        yield report["node_id"]


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "on the node" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"encoder": "tiny"}\n')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4096)
    (folder / "empty").touch()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_arrives_as_it_was(node_id, source, tmp_path):
    target = tmp_path / "here" / "trials" / "t1" / "checkpoint"
    collect_folder(source, target, node_id=node_id)
    assert contents(target) == contents(source)
    assert [path.name for path in target.parent.iterdir()] == ["checkpoint"], "nothing is left beside it"


def test_what_was_copied_from_an_earlier_attempt_is_replaced(node_id, source, tmp_path):
    target = tmp_path / "here" / "checkpoint"
    target.mkdir(parents=True)
    (target / "config.json").write_text("of an earlier epoch, from another node")
    (target / "old").touch()
    collect_folder(source, target, node_id=node_id)
    assert contents(target) == contents(source)


def test_on_a_shared_file_system_nothing_is_copied(node_id, source):
    before = {path.name: path.stat().st_ino for path in source.iterdir()}
    collect_folder(source, source, node_id=node_id)
    assert {path.name: path.stat().st_ino for path in source.iterdir()} == before
    assert [path.name for path in source.parent.iterdir()] == [source.name]


def test_a_copy_that_broke_off_is_made_again(node_id, source, tmp_path):
    target = tmp_path / "here"
    half = tmp_path / "here.new"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    collect_folder(source, target, node_id=node_id)
    assert contents(target) == contents(source)


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(node_id, tmp_path):
    with pytest.raises(RayError, match="No such file or directory"):
        collect_folder(tmp_path / "nowhere", tmp_path / "here", node_id=node_id)
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_is_gone_is_an_error_and_leaves_nothing(node_id, source, tmp_path):
    with pytest.raises(RayError):
        collect_folder(source, tmp_path / "here", node_id=NO_NODE, timeout_seconds=60)
    assert not (tmp_path / "here").exists()
