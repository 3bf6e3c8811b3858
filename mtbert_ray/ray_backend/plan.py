"""What a sweep will do, resolved before anything starts: settings, objectives, resources.

Whatever can be known to be wrong of these is found here, on the driver, so that no trial starts with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mtbert_ray.config import DataConfig, TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import Objective, Objectives, known_metrics
from mtbert_ray.ray_backend.capacity import Capacity, TrialRequest, check, max_concurrent, resolve_gpus
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.model import config_key


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
    objectives, fallbacks = resolve_objectives(space, has_gpu=has_gpu)
    possible = max_concurrent(request, capacity)
    asked = space.concurrent_trials
    return Plan(
        space=space,
        objectives=objectives,
        request=request,
        capacity=capacity,
        concurrent_trials=possible if asked == "auto" else min(possible, asked),
        notes=(*fallbacks, *_data_notes(space.one_config_each()), *_same_setting_notes(space)),
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
        elif objective.fallback is None:
            problems.append(
                f"objectives.{name} needs a GPU and trials have none (resources.gpus_per_worker is 0); name a "
                "metric to stand in with fallback, or take the objective out"
            )
        else:
            resolved[objective.fallback] = objective
            notes.append(f"Trials have no GPU: {objective.fallback} stands in for {name}.")
    if problems:
        raise ConfigError(problems)
    return resolved, notes


def _data_notes(configs: Mapping[str | None, TrialConfig]) -> Iterator[str]:
    """Yield what is to be known of the rows, with the experiments that it holds for where it is not all of them."""
    told_of: dict[str, list[str]] = {}
    for name, config in configs.items():
        for note in _notes_of(config.data):
            told_of.setdefault(note, []).append(str(name))
    for note, names in told_of.items():
        yield f"{note}." if len(names) == len(configs) else f"{note} ({', '.join(names)})."


def _notes_of(data: DataConfig) -> Iterator[str]:
    if data.max_dev_rows is not None:
        yield f"Dev scores come from at most {data.max_dev_rows} rows a task, the same for every trial"
    if isinstance(data.max_train_rows, int):
        yield f"Trials train on at most {data.max_train_rows} rows a task"
    elif data.max_train_rows is not None:
        limits = ", ".join(f"{count} rows of {task}" for task, count in data.max_train_rows.items())
        yield f"Trials train on at most {limits}"
    for task, file in data.train_files.items():
        yield f"The training rows of {task} are those of {Path(file).name}"


def _same_setting_notes(space: SearchSpace) -> Iterator[str]:
    """Yield the experiments that differ in nothing but their names, as an option can leave them.

    A parameter that is searched in only one of two experiments makes them differ too.
    """
    names_of: dict[str, list[str]] = {}
    for name in space.experiment_names:
        searched = [key for key, parameter in space.search.items() if name in parameter.when.get(EXPERIMENT, [name])]
        own = {"settled": {**space.fixed, **space.experiments[name]}, "searched": searched}
        names_of.setdefault(config_key(own), []).append(name)
    for names in names_of.values():
        if len(names) > 1:
            yield f"These experiments have the same setting: {', '.join(names)}."
