"""A search space resolved against a cluster before a sweep starts, and its description for a dry run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mtbert_ray.config import DataConfig, TrialConfig
from mtbert_ray.errors import ConfigError, shown
from mtbert_ray.metrics import Objective, Objectives, known_metrics
from mtbert_ray.ray_backend.capacity import Capacity, TrialRequest, check, max_concurrent, resolve_gpus
from mtbert_ray.ray_backend.preflight import RowCounts
from mtbert_ray.reporting.wording import counted
from mtbert_ray.study.pruning.rungs import Rungs
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter
from mtbert_ray.tasks import TaskSpec


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A search space resolved against the cluster it will run on."""

    space: SearchSpace
    """With `gpus_per_worker` a number."""
    objectives: Objectives
    """With fallbacks for metrics that need a GPU, where trials have none."""
    request: TrialRequest
    capacity: Capacity
    concurrent_trials: int
    notes: tuple[str, ...]
    """For the reader of the report."""


def make_plan(space: SearchSpace, capacity: Capacity, *, own_cluster: bool) -> Plan:
    """Return the plan of a sweep on this cluster, after checking all but the data.

    An `own_cluster`, started by this process, has CPUs for the trials' drivers besides its capacity.

    Raises:
        ResourceError: a trial can never be placed.
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
        notes=(*fallbacks, *_data_notes(space.one_config_each()), *_same_config_notes(space)),
    )


def resolve_objectives(space: SearchSpace, *, has_gpu: bool) -> tuple[dict[str, Objective], list[str]]:
    """Return the objectives that can be measured, and a note for each fallback.

    Raises:
        ConfigError: a metric needs a GPU, trials have none, and it has no fallback.
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
                "metric with fallback, or take the objective out"
            )
        else:
            resolved[objective.fallback] = objective
            notes.append(f"Trials have no GPU: {objective.fallback} is the fallback for {name}.")
    if problems:
        raise ConfigError(problems)
    return resolved, notes


def _data_notes(configs: Mapping[str | None, TrialConfig]) -> Iterator[str]:
    """Yield notes on the rows, with the experiments that they concern unless that is all of them."""
    concerned: dict[str, list[str]] = {}
    for name, config in configs.items():
        for note in _notes_of(config.data):
            concerned.setdefault(note, []).append(str(name))
    for note, names in concerned.items():
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


def _same_config_notes(space: SearchSpace) -> Iterator[str]:
    """Yield a note on experiments that fix and search the same, which command-line options can cause."""
    names_of: dict[str, list[str]] = {}
    for name in space.experiment_names:
        searched = [key for key, parameter in space.search.items() if name in parameter.when.get(EXPERIMENT, [name])]
        own = {"settled": {**space.fixed, **space.experiments[name]}, "searched": searched}
        names_of.setdefault(config_key(own), []).append(name)
    for names in names_of.values():
        if len(names) > 1:
            yield f"These experiments have the same config: {', '.join(names)}."


def describe(plan: Plan) -> list[str]:
    """Return the lines of a dry run."""
    space = plan.space
    trials = "as many as fit" if space.num_trials is None else str(space.num_trials)
    budget = "" if space.time_budget_minutes is None else f" within {space.time_budget_minutes:g} minutes"
    bounds = {name: f"{o.direction}, reference {o.reference:g}" for name, o in plan.objectives.items()}
    limits = {
        name: f", at {'most' if o.direction == 'minimize' else 'least'} {o.constraint:g}"
        for name, o in plan.objectives.items()
        if o.constraint is not None
    }
    return [
        f"sweep: {space.name}" + (f" ({space.question})" if space.question else ""),
        *(f"objective: {name} ({bound}{limits.get(name, '')})" for name, bound in bounds.items()),
        *(f"experiment: {name} ({_keys_in_words(space.experiments[name])})" for name in space.experiment_names),
        *(f"search: {key} = {_in_words(value)}" for key, value in space.search.items() if key != EXPERIMENT),
        *(f"fixed: {key} = {value}" for key, value in space.fixed.items() if key != "tasks"),
        *(f"task: {_task_in_words(task)}" for task in space.tasks),
        f"trials: {trials}{budget}, {plan.concurrent_trials} at once, chosen by {space.algorithm}, seed {space.seed}",
        *([f"repeats: {counted(space.repeats, 'further seed')} of each on the front"] if space.repeats else []),
        f"stopping early: {_stopping(space)}",
        f"a trial needs: {plan.request.description}",
        f"the cluster has: {plan.capacity.description}",
        *(f"note: {note}" for note in plan.notes),
    ]


def _task_in_words(task: TaskSpec) -> str:
    """Return a task, as `topic, classification (4 classes), scored by f1_macro, accuracy`."""
    if task.label_range is None:
        labels = f"{task.num_classes} classes" if task.num_classes else "classes of its training rows"
    else:
        labels = "{:g} to {:g}".format(*task.label_range)
    weight = f", weight {task.weight:g}" if task.weight != 1 else ""
    return f"{task.name}, {task.kind} ({labels}), scored by {', '.join(task.metric_names)}{weight}"


def _stopping(space: SearchSpace) -> str:
    """Return how trials are stopped, as `by Pareto rank at epochs 1, 3, by costs after 35 steps`."""
    if space.scheduler == "fifo":
        return "none, every trial runs to its end"
    levels = Rungs(space.halving_in_use, space.max_epochs).levels
    by_rank = f"by Pareto rank at epoch {', '.join(map(str, levels))}" if levels else "no rungs below the last epoch"
    steps = space.probe.warmup_steps + space.probe.steps
    return f"{by_rank}, by costs after {steps} steps of a longer epoch" if space.probe.steps else by_rank


def _keys_in_words(keys: Mapping[str, object]) -> str:
    """Return an experiment's own keys, as `smart.tasks ['sst'], smart.steps 1`."""
    return ", ".join(f"{key} {value if isinstance(value, str) else shown(value)}" for key, value in keys.items()) or (
        "all as fixed"
    )


def describe_rows(rows: Mapping[str | None, RowCounts]) -> Iterator[str]:
    """Yield a line a task of the rows of `check_inputs`, or several where experiments differ."""
    for task in next(iter(rows.values()))["train"]:
        experiments: dict[tuple[int, int], list[str]] = {}
        for name, counts in rows.items():
            experiments.setdefault((counts["train"][task], counts["dev"][task]), []).append(str(name))
        for (train, dev), names in experiments.items():
            only = f" ({', '.join(names)})" if len(experiments) > 1 else ""
            yield f"rows: {task}: {train} train, {dev} dev{only}"


def _in_words(parameter: Parameter) -> str:
    """Return the range of a searched key, as `one of 2, 8, when adapter.kind is 'lora'`."""
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
