"""Whether and how often a trial fits: closed forms, a brute-force reference, and the words of a refusal."""

import json
import os
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.core.generated.autoscaler_pb2 import ClusterConfig

from mtbert_ray.config import ResourceConfig
from mtbert_ray.errors import ResourceError
from mtbert_ray.ray_backend.capacity import (
    Capacity,
    Growth,
    Node,
    NodeGroup,
    TrialRequest,
    check,
    max_concurrent,
    resolve_gpus,
)
from mtbert_ray.ray_backend.inventory import configured_growth, hosted_growth, local_capacity

LAPTOP = Capacity(nodes=(Node(cpus=2),))
HEAD = Node(cpus=8)
GPU_NODE = Node(cpus=4, gpus=1)
FROM_ZERO = Capacity(
    nodes=(HEAD,), growth=Growth(groups=(NodeGroup(node=GPU_NODE, max_nodes=8),), max_nodes=8, fixed=(HEAD,))
)
UNKNOWN = Capacity(nodes=(HEAD,), growth_unknown=True)


def request(workers=1, cpus=1.0, gpus=0.0, driver=0.0):
    return TrialRequest(num_workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus, driver_cpus=driver)


def of(*nodes):
    return Capacity(nodes=tuple(Node(cpus=cpus, gpus=gpus) for cpus, gpus in nodes))


@pytest.mark.parametrize(
    ("capacity", "asked", "trials"),
    [
        (of((8, 2)), request(gpus=0.5), 4),
        (of((8, 2)), request(gpus=0.4), 4),  # two a card: the fifth would straddle both
        (of((8, 1)), request(gpus=0.1), 8),  # by CPUs
        (of((64, 1)), request(gpus=0.1), 10),
        (of((64, 8)), request(gpus=1), 8),
        (of((4, 4), (4, 4)), request(workers=3, gpus=1), 2),
        (of((2, 0)), request(), 2),
        (of((2, 0)), request(cpus=2), 1),
        (of((3, 0), (3, 0)), request(cpus=2), 2),
        (of((8, 0), (4, 1), (4, 1)), request(gpus=1), 2),
        (of((8, 0), (4, 1), (4, 1)), request(workers=2, gpus=1, driver=1), 1),
        (of((4, 0)), request(workers=2, driver=0.01), 1),
        (FROM_ZERO, request(gpus=1), 8),
        (FROM_ZERO, request(workers=4, gpus=1, driver=0.01), 2),
        (FROM_ZERO, request(), 8 + 8 * 4),
    ],
)
def test_how_many_trials_fit_at_once(capacity, asked, trials):
    check(asked, capacity)
    assert max_concurrent(asked, capacity) == trials


@pytest.mark.parametrize(
    ("capacity", "asked", "message"),
    [
        (
            LAPTOP,
            request(workers=2, cpus=4, gpus=1),
            "a trial needs 2 x (4 CPUs, 1 GPU); the cluster has 1 node: 2 CPUs, 0 GPUs; no node holds one worker: set "
            "resources.cpus_per_worker or resources.gpus_per_worker lower, or use larger nodes",
        ),
        (
            of((4, 0), (4, 0)),
            request(cpus=6),  # the sum of the nodes would do
            "a trial needs 1 x (6 CPUs, 0 GPUs); the cluster has 2 nodes: 2 x (4 CPUs, 0 GPUs); no node holds one "
            "worker: set resources.cpus_per_worker or resources.gpus_per_worker lower, or use larger nodes",
        ),
        (
            of((8, 0), (4, 1), (4, 1)),
            request(workers=4, gpus=1),
            "a trial needs 4 x (1 CPU, 1 GPU); the cluster has 3 nodes: 1 x (8 CPUs, 0 GPUs), 2 x (4 CPUs, 1 GPU); set "
            "resources.num_workers to 2 or less, or use more nodes",
        ),
        (
            of((2, 0)),
            request(workers=2, driver=0.01),
            "a trial needs 2 x (1 CPU, 0 GPUs); the cluster has 1 node: 2 CPUs, 0 GPUs; its driver needs 0.01 CPU "
            "besides: set resources.num_workers lower",
        ),
        (
            FROM_ZERO,
            request(workers=9, gpus=1),
            "a trial needs 9 x (1 CPU, 1 GPU); the cluster has 1 node: 8 CPUs, 0 GPUs; it may start up to 8 nodes: "
            "8 x (4 CPUs, 1 GPU); set resources.num_workers to 8 or less, or use more nodes",
        ),
    ],
)
def test_a_trial_that_never_fits_is_refused_with_numbers_and_advice(capacity, asked, message):
    with pytest.raises(ResourceError) as refusal:
        check(asked, capacity)
    assert str(refusal.value) == message


def fits_by_trying_everything(nodes, asked):
    """Every way to put each worker on a card (or a node, without GPUs) and the driver on a node."""
    cards = [(index, card) for index, (_, gpus) in enumerate(nodes) for card in range(gpus)]
    places = cards if asked.gpus_per_worker else [(index, None) for index in range(len(nodes))]
    for driver in range(len(nodes)):
        for chosen in product(places, repeat=asked.num_workers):
            cpus = [sum(index == node for index, _ in chosen) * asked.cpus_per_worker for node in range(len(nodes))]
            cpus[driver] += asked.driver_cpus
            by_card = [sum(place == card for place in chosen) * asked.gpus_per_worker for card in cards]
            if all(used <= has for used, (has, _) in zip(cpus, nodes, strict=True)) and all(x <= 1 for x in by_card):
                return True
    return False


@settings(max_examples=150)
@given(
    nodes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=3),
    workers=st.integers(1, 3),
    cpus=st.integers(1, 3),
    gpus=st.sampled_from([0, 0.25, 0.5, 1]),
    driver=st.sampled_from([0, 0.5, 1]),
)
def test_a_trial_is_refused_exactly_when_no_placement_exists(nodes, workers, cpus, gpus, driver):
    asked = request(workers=workers, cpus=cpus, gpus=gpus, driver=driver)
    try:
        check(asked, of(*nodes))
        accepted = True
    except ResourceError:
        accepted = False
    assert accepted == fits_by_trying_everything(nodes, asked)


def test_two_groups_share_the_limit_on_nodes():
    small, large = NodeGroup(node=GPU_NODE, max_nodes=4), NodeGroup(node=Node(cpus=32, gpus=4), max_nodes=2)
    capacity = Capacity(nodes=(HEAD,), growth=Growth(groups=(small, large), max_nodes=3, fixed=(HEAD,)))
    assert max_concurrent(request(gpus=1), capacity) == 2 * 4 + 1
    assert capacity.may_grow_to == Node(cpus=8 + 2 * 32 + 4, gpus=9)
    assert LAPTOP.may_grow_to is None


def test_unknown_growth_warns_and_waits():
    with pytest.warns(
        RuntimeWarning, match=r"needs 1 x \(1 CPU, 1 GPU\) and waits for it; .* Ray does not tell how far"
    ):
        check(request(gpus=1), UNKNOWN)
    assert max_concurrent(request(gpus=1), UNKNOWN) == 1


@pytest.mark.parametrize(
    ("capacity", "gpus"), [(LAPTOP, 0.0), (of((8, 0), (4, 1)), 1.0), (FROM_ZERO, 1.0)], ids=["no", "now", "later"]
)
def test_auto_means_one_gpu_where_there_are_or_can_be_some(capacity, gpus):
    assert resolve_gpus(ResourceConfig(), capacity).gpus_per_worker == gpus
    assert resolve_gpus(ResourceConfig(gpus_per_worker=0.5), capacity).gpus_per_worker == 0.5


def test_auto_is_not_guessed_where_growth_is_unknown():
    with pytest.raises(ResourceError, match=r"set resources\.gpus_per_worker to 1 or 0"):
        resolve_gpus(ResourceConfig(), UNKNOWN)


def test_only_a_trial_under_ray_train_has_a_driver():
    inline = TrialRequest.of(ResourceConfig(gpus_per_worker=0.5, cpus_per_worker=3))
    assert inline == request(cpus=3, gpus=0.5)
    assert TrialRequest.of(ResourceConfig(num_workers=2, gpus_per_worker=1)).driver_cpus > 0
    assert TrialRequest.of(ResourceConfig(gpus_per_worker=1, launcher="train")).driver_cpus > 0


CONFIG = {
    "max_workers": 6,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 8}},
        "gpu": {"resources": {"CPU": 4, "GPU": 1, "memory": 16 * 2**30}, "max_workers": 4},
        "cpu": {"resources": {"CPU": 16}},
    },
}


def test_growth_from_the_configuration_of_ray_up():
    growth = configured_growth(CONFIG, (HEAD,))
    assert growth == Growth(
        groups=(NodeGroup(node=GPU_NODE, max_nodes=4), NodeGroup(node=Node(cpus=16), max_nodes=6)),
        max_nodes=6,
        fixed=(HEAD,),
    )


def test_growth_is_unknown_when_the_configuration_leaves_resources_open():
    kinds = CONFIG["available_node_types"] | {"gpu": {"resources": {}, "max_workers": 4}}
    assert configured_growth(CONFIG | {"available_node_types": kinds}, (HEAD,)) is None


def test_growth_that_a_hosted_platform_reports_leaves_the_head_out():
    config = ClusterConfig()
    for name, resources, limit in [
        ("head", {"CPU": 8}, 1),
        ("gpu", {"CPU": 4, "GPU": 1}, 5),
        ("any", {"CPU": 2}, -1),
        ("off", {"CPU": 99}, 0),
    ]:
        group = config.node_group_configs.add(name=name, max_count=limit)
        group.resources.update(resources)
    growth = hosted_growth(config, (HEAD,))
    assert [group.node for group in growth.groups] == [GPU_NODE, Node(cpus=2)]
    assert growth.groups[0].max_nodes == 5
    assert max_concurrent(request(gpus=1), Capacity(nodes=(HEAD,), growth=growth)) == 5


def test_this_machine_offers_the_cpus_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (node,) = local_capacity().nodes
    assert 1 <= node.cpus <= len(os.sched_getaffinity(0))
    assert node.gpus == 0


RUNNING_CLUSTER = """
import subprocess, sys
import ray
from mtbert_ray.ray_backend.inventory import cluster_capacity
ray.init(address="local", num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         object_store_memory=100 * 2**20)
print(cluster_capacity().description)
# An autoscaler is a process on the head with these two flags, as `ray start --autoscaling-config` starts it.
flags = [f"--gcs-address={ray.get_runtime_context().gcs_address}", f"--autoscaling-config={sys.argv[1]}"]
autoscaler = subprocess.Popen([sys.executable, "-c", "input()", *flags], stdin=subprocess.PIPE)
print(cluster_capacity().description)
autoscaler.communicate()
"""


@pytest.mark.ray
def test_a_running_cluster_tells_its_nodes_and_what_its_autoscaler_may_start(tmp_path):
    config = tmp_path / "bootstrap.yaml"
    config.write_text(json.dumps(CONFIG))
    done = subprocess.run(
        [sys.executable, "-c", RUNNING_CLUSTER, str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "1 node: 3 CPUs, 2 GPUs",
        "1 node: 3 CPUs, 2 GPUs; it may start up to 6 nodes: 4 x (4 CPUs, 1 GPU), 6 x (16 CPUs, 0 GPUs)",
    ]
