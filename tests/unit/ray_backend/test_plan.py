"""The plan of a sweep: what stands in for what, how many trials at once, and every refusal before anything starts."""

import pytest

from mtbert_ray.errors import ConfigError, ResourceError
from mtbert_ray.ray_backend.capacity import DRIVER_CPUS, Capacity, Growth, Node, NodeGroup
from mtbert_ray.ray_backend.plan import describe, describe_rows, make_plan, resolve_objectives
from mtbert_ray.study.space import SearchSpace

LAPTOP = Capacity(nodes=(Node(cpus=4),))
TWO_GPUS = Capacity(nodes=(Node(cpus=8, gpus=2),))
FROM_ZERO = Capacity(
    nodes=(Node(cpus=8),),
    growth=Growth(groups=(NodeGroup(node=Node(cpus=4, gpus=1), max_nodes=3),), max_nodes=3, fixed=(Node(cpus=8),)),
)
SCORE = {"direction": "maximize", "reference": 0.4}
MEMORY = {"direction": "minimize", "reference": 16.0, "constraint": 12.0, "fallback": "peak_rss_gib"}


def space_of(**keys) -> SearchSpace:
    defaults = {
        "name": "tiny",
        "objectives": {"dev_score": SCORE, "peak_memory_gib": MEMORY},
        "fixed": {"encoder": "tiny", "epochs": 2, "data.max_train_rows": 40, "data.max_dev_rows": 30},
        "search": {"learning_rate": {"kind": "choice", "values": [1e-3, 3e-3]}},
        "algorithm": "grid",
    }
    return SearchSpace.model_validate({**defaults, **keys})


# Objectives that need a GPU


def test_with_a_gpu_the_objectives_stay_as_they_are():
    plan = make_plan(space_of(), TWO_GPUS, own_cluster=True)
    assert list(plan.objectives) == ["dev_score", "peak_memory_gib"]
    assert not any("stands in" in note for note in plan.notes)


def test_without_a_gpu_the_stand_in_takes_the_place_and_the_bounds():
    space = space_of(objectives={"peak_memory_gib": MEMORY, "dev_score": SCORE})
    objectives, notes = resolve_objectives(space, has_gpu=False)
    assert list(objectives) == ["peak_rss_gib", "dev_score"], "the order of the axes is that of the YAML"
    assert objectives["peak_rss_gib"] == space.objectives["peak_memory_gib"]
    assert notes == ["Trials have no GPU: peak_rss_gib stands in for peak_memory_gib."]
    assert make_plan(space, LAPTOP, own_cluster=True).notes[0] == notes[0]


def test_every_objective_without_a_stand_in_is_refused_at_once():
    cost = {"direction": "minimize", "reference": 50}
    space = space_of(objectives={"energy_kj": cost, "dev_score": SCORE, "gpu_seconds": cost})
    with pytest.raises(ConfigError) as caught:
        make_plan(space, LAPTOP, own_cluster=True)
    assert caught.value.problems == tuple(
        f"objectives.{name} needs a GPU and trials have none (resources.gpus_per_worker is 0); name a metric to stand "
        "in with fallback, or take the objective out"
        for name in ("energy_kj", "gpu_seconds")
    )


def test_a_task_s_own_score_can_be_an_objective_without_a_gpu():
    objectives, notes = resolve_objectives(space_of(objectives={"sts": SCORE}), has_gpu=False)
    assert (list(objectives), notes) == (["sts"], [])


def test_trials_that_ask_for_no_gpu_have_none_where_there_are_some():
    plan = make_plan(space_of(resources={"gpus_per_worker": 0}), TWO_GPUS, own_cluster=True)
    assert "peak_rss_gib" in plan.objectives
    assert plan.request.gpus_per_worker == 0


# Resources


@pytest.mark.parametrize(
    ("capacity", "resources", "gpus", "at_once"),
    [
        (LAPTOP, {}, 0, 4),
        (LAPTOP, {"cpus_per_worker": 3}, 0, 1),
        (LAPTOP, {"concurrent_trials": 2}, 0, 2),
        (LAPTOP, {"concurrent_trials": 99}, 0, 4),
        (TWO_GPUS, {}, 1, 2),
        (TWO_GPUS, {"gpus_per_worker": 0.5}, 0.5, 4),
        (TWO_GPUS, {"num_workers": 2}, 1, 1),
        (FROM_ZERO, {}, 1, 3),
        (FROM_ZERO, {"gpus_per_worker": 0, "cpus_per_worker": 4}, 0, 5),
    ],
)
def test_gpus_are_resolved_and_as_many_trials_run_as_fit(capacity, resources, gpus, at_once):
    plan = make_plan(space_of(resources=resources), capacity, own_cluster=False)
    assert plan.request.gpus_per_worker == plan.space.resources.gpus_per_worker == gpus
    assert plan.concurrent_trials == at_once
    assert plan.space.trial_config({"learning_rate": 1e-3}).resources.gpus_per_worker == gpus


def test_only_a_foreign_cluster_must_have_room_for_the_drivers():
    """Our own is started with a CPU more; of a foreign one the driver takes a share, and two ranks need the rest."""
    space = space_of(resources={"num_workers": 4})
    assert make_plan(space, LAPTOP, own_cluster=True).request.driver_cpus == 0
    with pytest.raises(ResourceError, match=f"its driver needs {DRIVER_CPUS:g} CPU besides"):
        make_plan(space, LAPTOP, own_cluster=False)
    roomy = Capacity(nodes=(Node(cpus=5),))
    assert make_plan(space, roomy, own_cluster=False).request.driver_cpus == DRIVER_CPUS
    inline = make_plan(space_of(), LAPTOP, own_cluster=False)
    assert inline.request.driver_cpus == 0, "an inline trial has no driver"


def test_a_trial_that_could_never_be_placed_is_refused():
    with pytest.raises(ResourceError, match=r"a trial needs 1 x \(64 CPUs, 0 GPUs\); the cluster has 1 node: 4 CPUs"):
        make_plan(space_of(resources={"cpus_per_worker": 64}), LAPTOP, own_cluster=True)
    with pytest.raises(ResourceError, match="no node holds one worker"):
        make_plan(space_of(resources={"gpus_per_worker": 1}), LAPTOP, own_cluster=True)


# What is said


def test_a_limit_of_rows_is_noted():
    notes = make_plan(space_of(), TWO_GPUS, own_cluster=True).notes
    assert notes == (
        "Dev scores come from at most 30 rows a task, the same for every trial.",
        "Trials train on at most 40 rows a task.",
    )
    by_task = space_of(fixed={"data.max_train_rows": {"sst": 5, "sts": 7}})
    assert make_plan(by_task, TWO_GPUS, own_cluster=True).notes == (
        "Trials train on at most 5 rows of sst, 7 rows of sts.",
    )
    assert make_plan(space_of(fixed={}), TWO_GPUS, own_cluster=True).notes == ()


def test_a_plan_is_described_a_line_a_fact():
    space = space_of(question="does it pay?", seed=5, time_budget_minutes=1.5, resources={"concurrent_trials": 3})
    assert describe(make_plan(space, LAPTOP, own_cluster=True)) == [
        "sweep: tiny (does it pay?)",
        "objective: dev_score (maximize, reference 0.4)",
        "objective: peak_rss_gib (minimize, reference 16, at most 12)",
        "search: learning_rate = one of 0.001, 0.003",
        "fixed: encoder = tiny",
        "fixed: epochs = 2",
        "fixed: data.max_train_rows = 40",
        "fixed: data.max_dev_rows = 30",
        "task: sst, classification (5 classes), scored by accuracy",
        "task: quora, pair_classification (2 classes), scored by accuracy",
        "task: sts, pair_regression (0 to 5), scored by pearson",
        "trials: 2 within 1.5 minutes, 3 at once, chosen by grid, seed 5",
        "stopping early: by Pareto rank at epoch 1, by costs after 35 steps of a longer epoch",
        "a trial needs: 1 x (1 CPU, 0 GPUs)",
        "the cluster has: 1 node: 4 CPUs, 0 GPUs",
        "note: Trials have no GPU: peak_rss_gib stands in for peak_memory_gib.",
        "note: Dev scores come from at most 30 rows a task, the same for every trial.",
        "note: Trials train on at most 40 rows a task.",
    ]
    rows = {None: {"train": {"sst": 40, "sts": 20}, "dev": {"sst": 30, "sts": 10}}}
    assert list(describe_rows(rows)) == ["rows: sst: 40 train, 30 dev", "rows: sts: 20 train, 10 dev"]


@pytest.mark.parametrize(
    ("key", "parameter", "words"),
    [
        ("adapter.kind", {"kind": "choice", "values": ["none", "lora"]}, "one of 'none', 'lora'"),
        ("encoder_dropout", {"kind": "choice", "values": [None, 0.25]}, "one of null, 0.25"),
        ("dropout", {"kind": "uniform", "low": 0, "high": 0.5}, "0 to 0.5"),
        ("learning_rate", {"kind": "loguniform", "low": 1e-5, "high": 1e-3}, "1e-05 to 0.001, logarithmic"),
        ("adapter.rank", {"kind": "int", "low": 2, "high": 8, "step": 3}, "2 to 8 in steps of 3"),
        ("adapter.rank", {"kind": "int", "low": 1, "high": 64, "log": True}, "1 to 64, logarithmic"),
        (
            "adapter.rank",
            {"kind": "int", "low": 1, "high": 2, "when": {"adapter.kind": ["lora", "dora"], "finetune": ["full"]}},
            "1 to 2, when adapter.kind is 'lora' or 'dora' and finetune is 'full'",
        ),
    ],
)
def test_a_searched_key_is_described_in_words(key, parameter, words):
    space = space_of(search={key: parameter}, fixed={"adapter.kind": "none"}, algorithm="random", trials=1)
    lines = describe(make_plan(space, TWO_GPUS, own_cluster=True))
    assert f"search: {key} = {words}" in lines


def test_a_least_bound_and_a_time_budget_alone_are_described():
    least = {"dev_score": {**SCORE, "constraint": 0.5}}
    space = space_of(objectives=least, algorithm="random", time_budget_minutes=2)
    lines = describe(make_plan(space, LAPTOP, own_cluster=True))
    assert "objective: dev_score (maximize, reference 0.4, at least 0.5)" in lines
    assert any(line.startswith("trials: as many as fit within 2 minutes, 4 at once") for line in lines)
