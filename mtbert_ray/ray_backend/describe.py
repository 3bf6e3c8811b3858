"""Says what a sweep will do, for a dry run. Decides nothing."""

from collections.abc import Iterator, Mapping

from mtbert_ray.errors import shown
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.ray_backend.preflight import RowCounts
from mtbert_ray.study.pruning.rungs import Rungs
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter
from mtbert_ray.tasks import TaskSpec


def describe(plan: Plan) -> list[str]:
    """Return what a sweep will do on the cluster that the plan was made for, a line a fact."""
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
        *(f"experiment: {name} ({_keys_in_words(space.experiments[name])})" for name in space.experiment_names),
        *(f"search: {key} = {_in_words(value)}" for key, value in space.search.items() if key != EXPERIMENT),
        *(f"fixed: {key} = {value}" for key, value in space.fixed.items() if key != "tasks"),
        *(f"task: {_task_in_words(task)}" for task in space.tasks),
        f"trials: {trials}{budget}, {plan.concurrent_trials} at once, chosen by {space.algorithm}, seed {space.seed}",
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
    """Yield a line a task, or one for each of its numbers of rows with the experiments that have it.

    Args:
        rows: as returned by `check_inputs`.
    """
    for task in next(iter(rows.values()))["train"]:
        experiments: dict[tuple[int, int], list[str]] = {}
        for name, counts in rows.items():
            experiments.setdefault((counts["train"][task], counts["dev"][task]), []).append(str(name))
        for (train, dev), names in experiments.items():
            only = f" ({', '.join(names)})" if len(experiments) > 1 else ""
            yield f"rows: {task}: {train} train, {dev} dev{only}"


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
    return "most" if objective.direction == "minimize" else "least"
