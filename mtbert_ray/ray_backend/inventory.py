"""The resources of this machine, or those that a connected Ray cluster has and may grow to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import ray
import torch
from ruamel.yaml import YAML

from mtbert_ray import compat
from mtbert_ray.ray_backend.capacity import Capacity, Growth, Node, NodeGroup
from mtbert_ray.resources.gpu import list_gpus

_HEAD_RESOURCE = "node:__internal_head__"
_UNLIMITED = 64  # nodes of a group without a limit


def local_capacity() -> Capacity:
    """Return this machine's resources, without starting Ray.

    CPUs by affinity and container quota, GPUs by CUDA_VISIBLE_DEVICES and this build of torch.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = min(len(list_gpus()), torch.cuda.device_count())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = min(gpus, _visible_devices(visible))
    return Capacity(nodes=(Node(cpus=min(allowed, compat.cpus_of_container()), gpus=gpus),))


def cluster_capacity() -> Capacity:
    """Return what the connected Ray cluster has now and may grow to.

    Open-source Ray does not report its node types to drivers: on the head they are read from the autoscaler's config
    file, on a hosted platform from Ray's state. From another node, or under KubeRay, `growth_unknown` is set.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    heads = tuple(_node(node["Resources"]) for node in alive if _HEAD_RESOURCE in node["Resources"])
    nodes = tuple(_node(node["Resources"]) for node in alive)
    hosted = compat.hosted_cluster_config()
    if hosted is not None and hosted.node_group_configs:
        return Capacity(nodes=nodes, growth=hosted_growth(hosted, heads))
    context = ray.get_runtime_context()
    here: dict[str, float] = next((node["Resources"] for node in alive if node["NodeID"] == context.get_node_id()), {})
    if _HEAD_RESOURCE not in here or "RAY_USAGE_STATS_KUBERAY_IN_USE" in os.environ:
        return Capacity(nodes=nodes, growth_unknown=True)
    path = _autoscaling_config(context.gcs_address)
    if path is None:
        return Capacity(nodes=nodes)
    growth = configured_growth(YAML(typ="safe").load(path.read_text(encoding="utf-8")), heads)
    return Capacity(nodes=nodes, growth=growth, growth_unknown=growth is None)


def configured_growth(config: Mapping[str, Any], heads: tuple[Node, ...]) -> Growth | None:
    """Return the growth that a config of `ray up` on the head allows; None where a node type lacks its resources."""
    groups = []
    for name, kind in config["available_node_types"].items():
        limit = kind.get("max_workers", 0 if name == config["head_node_type"] else config["max_workers"])
        if limit > 0 and "CPU" not in kind.get("resources", {}):
            return None
        if limit > 0:
            groups.append(NodeGroup(node=_node(kind["resources"]), max_nodes=limit))
    return Growth(groups=tuple(groups), max_nodes=config["max_workers"], fixed=heads)


def hosted_growth(config: Any, heads: tuple[Node, ...]) -> Growth:  # noqa: ANN401  # a protobuf message
    """Return the growth that a hosted platform reports (`ClusterConfig` of Ray's autoscaler.proto).

    Its cap over all groups, `max_resources`, is not applied: a trial that does not fit then only waits.
    """
    groups = []
    for group in config.node_group_configs:
        node = _node(group.resources)
        is_head = group.max_count == 1 and node in heads
        if group.max_count != 0 and not is_head:
            groups.append(NodeGroup(node=node, max_nodes=_UNLIMITED if group.max_count < 0 else group.max_count))
    return Growth(groups=tuple(groups), max_nodes=sum(group.max_nodes for group in groups), fixed=heads)


def _autoscaling_config(gcs_address: str) -> Path | None:
    """Return the config file on the command line of this cluster's autoscaler, which runs on the head."""
    flag = "--autoscaling-config="
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if f"--gcs-address={gcs_address}" in command:
            for argument in command:
                if argument.startswith(flag):
                    return Path(argument.removeprefix(flag)).expanduser()
    return None


def _node(resources: Mapping[str, float]) -> Node:
    return Node(cpus=resources.get("CPU", 0), gpus=resources.get("GPU", 0))


def _visible_devices(visible: str) -> int:
    """Return how many devices CUDA_VISIBLE_DEVICES names; CUDA stops at the first invalid one."""
    names = [name.strip() for name in visible.split(",")]
    return next((index for index, name in enumerate(names) if name in ("", "-1")), len(names))
