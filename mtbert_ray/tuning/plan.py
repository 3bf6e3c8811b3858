"""What a sweep will do, checked before anything starts: settings, objectives, data, encoder, resources.

Whatever can be known to be wrong is found here, on the driver, so that no trial starts with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtbert_ray.cluster.capacity import Capacity, TrialRequest, check, max_concurrent, resolve_gpus
from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import Objective, Objectives, known_metrics
from mtbert_ray.models.build import build_model
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.tuning.space import SearchSpace
from mtbert_ray.tuning.space.fields import shown
from mtbert_ray.tuning.space.parameters import Choice, FloatRange, IntRange, Parameter


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search space resolved against the cluster it will run on."""

    space: SearchSpace
    """With `gpus_per_worker` a number."""
    objectives: Objectives
    """With stand-ins in the place of metrics that need a GPU, where trials have none."""
    request: TrialRequest
    """What one trial holds."""
    capacity: Capacity
    concurrent_trials: int
    notes: tuple[str, ...]
    """What the reader of the report should know."""


def make_plan(space: SearchSpace, capacity: Capacity, *, own_cluster: bool) -> Plan:
    """Return the plan of a sweep on this cluster, after checking all but the data.

    Args:
        space: as loaded.
        capacity: what the cluster has.
        own_cluster: whether it is a Ray of our own on this machine, which is started with room for trials' drivers.

    Raises:
        ResourceError: a trial could never be placed.
        ConfigError: an objective needs a GPU and trials have none.
    """
    space = space.with_resources(resolve_gpus(space.resources, capacity))
    request = TrialRequest.of(space.resources)
    if own_cluster:
        request = replace(request, driver_cpus=0.0)
    check(request, capacity)
    has_gpu = space.resources.gpus_per_worker != 0
    objectives, stand_ins = resolve_objectives(space, has_gpu=has_gpu)
    possible = max_concurrent(request, capacity)
    asked = space.concurrent_trials
    return Plan(
        space=space,
        objectives=objectives,
        request=request,
        capacity=capacity,
        concurrent_trials=possible if asked == "auto" else min(possible, asked),
        notes=(*stand_ins, *_subset_notes(space.any_config())),
    )


def resolve_objectives(space: SearchSpace, *, has_gpu: bool) -> tuple[dict[str, Objective], list[str]]:
    """Return the objectives that can be measured here, and a note for each stand-in.

    Raises:
        ConfigError: a metric needs a GPU, trials have none, and no stand-in is named.
    """
    known = known_metrics(space.tasks)
    resolved: dict[str, Objective] = {}
    notes, problems = [], []
    for name, objective in space.objectives.items():
        if has_gpu or not known[name].needs_gpu:
            resolved[name] = objective
        elif objective.without_gpu is None:
            problems.append(
                f"objectives.{name} needs a GPU and trials have none (resources.gpus_per_worker is 0); name a "
                "metric to stand in with without_gpu, or take the objective out"
            )
        else:
            resolved[objective.without_gpu] = objective
            notes.append(f"Trials have no GPU: {objective.without_gpu} stands in for {name}.")
    if problems:
        raise ConfigError(problems)
    return resolved, notes


def describe(plan: Plan, rows: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return what a sweep will do, a line a fact.

    Args:
        plan: as made for the cluster.
        rows: as returned by `check_inputs`.
    """
    space = plan.space
    trials = "as many as fit" if space.num_trials is None else str(space.num_trials)
    budget = "" if space.time_budget_minutes is None else f" within {space.time_budget_minutes:g} minutes"
    bounds = {name: f"{o.direction}, reference {o.reference:g}" for name, o in plan.objectives.items()}
    limits = {
        name: f", at {_worst(o)} {o.constraint:g}" for name, o in plan.objectives.items() if o.constraint is not None
    }
    return [
        f"sweep: {space.name}" + (f" ({space.question})" if space.question else ""),
        *(f"objective: {name} ({bound}{limits.get(name, '')})" for name, bound in bounds.items()),
        *(f"search: {key} = {_in_words(parameter)}" for key, parameter in space.search.items()),
        *(f"fixed: {key} = {value}" for key, value in space.fixed.items()),
        *(f"rows: {task}: {count} train, {rows['dev'][task]} dev" for task, count in rows["train"].items()),
        f"trials: {trials}{budget}, {plan.concurrent_trials} at once, chosen by {space.algorithm}, seed {space.seed}",
        f"a trial needs: {plan.request.description}",
        f"the cluster has: {plan.capacity.description}",
        *(f"note: {note}" for note in plan.notes),
    ]


def _in_words(parameter: Parameter) -> str:
    """Return what a searched key can be, as `one of 2, 8, when adapter.kind is 'lora'`."""
    match parameter:
        case Choice():
            text = f"one of {', '.join(map(shown, parameter.values))}"
        case FloatRange() | IntRange():
            text = f"{parameter.low:g} to {parameter.high:g}"
    if isinstance(parameter, IntRange) and parameter.step > 1:
        text += f" in steps of {parameter.step}"
    if parameter.kind == "loguniform" or (isinstance(parameter, IntRange) and parameter.log):
        text += ", logarithmic"
    conditions = [f"{key} is {' or '.join(map(shown, values))}" for key, values in parameter.when.items()]
    return f"{text}, when {' and '.join(conditions)}" if conditions else text


def _worst(objective: Objective) -> str:
    return "most" if objective.direction == "minimise" else "least"


def _subset_notes(config: TrialConfig) -> Iterator[str]:
    data = config.data
    if data.max_dev_rows is not None:
        yield f"Dev scores come from at most {data.max_dev_rows} rows a task, the same for every trial."
    if isinstance(data.max_train_rows, int):
        yield f"Trials train on at most {data.max_train_rows} rows a task."
    elif data.max_train_rows is not None:
        limits = ", ".join(f"{count} rows of {task}" for task, count in data.max_train_rows.items())
        yield f"Trials train on at most {limits}."


def check_inputs(space: SearchSpace) -> dict[str, dict[str, int]]:
    """Read and tokenise the data with every encoder the space can ask for, and build a model on each.

    The tokens are cached, so the trials on this node find their work done.

    Returns:
        Rows by split and task, as `{"train": {"sst": 8544}}`.

    Raises:
        DataError: a file cannot be read as its task needs it.
        EncoderError: an encoder cannot be found.
        ConfigError: an adapter does not fit its encoder.
    """
    rows: dict[str, dict[str, int]] = {}
    for config in _distinct(space).values():
        for split in ("train", "dev"):
            inputs = load_inputs(config, split)
            rows[split] = {task: len(encoded) for task, encoded in inputs.items()}
        build_model(config)
    return rows


def _distinct(space: SearchSpace) -> Mapping[Any, TrialConfig]:
    """Return one configuration for each pairing of encoder, pooling and adapter that the space can ask for.

    What else could not be built, TrialConfig refuses by itself.
    """
    return {
        (config.encoder, config.pooling, config.adapter.kind != "none" and config.adapter.target_modules): config
        for config in space.example_configs()
    }
