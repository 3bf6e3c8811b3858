"""Brings what a trial left on its node, checkpoint or traces, to the node of the sweep before that node goes away."""

from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]  # Ray is untyped
def _read_folder(folder: str) -> dict[str, bytes]:
    """Return the files of a folder by name; neither a checkpoint nor a profile has folders inside."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def collect_folder(source: Path, target: Path, *, node_id: str, timeout_seconds: float = 600) -> None:
    """Copy a folder of flat files from another node; does nothing for a folder that is already here.

    Args:
        source: the folder's path on the node.
        target: where it goes on this node.
        node_id: the node that holds it.
        timeout_seconds: how long the copy may take.

    Raises:
        ray.exceptions.RayError: the node is gone or the copy failed.
    """
    if target.exists():
        # The same node, or storage shared by the nodes.
        return
    on_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
    files = ray.get(_read_folder.options(scheduling_strategy=on_node).remote(str(source)), timeout=timeout_seconds)
    # Beside its place first: a copy that broke off must not pass for one that is already here.
    beside = target.with_name(target.name + ".new")
    beside.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (beside / name).write_bytes(content)
    beside.replace(target)
