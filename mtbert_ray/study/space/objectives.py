"""Checks the `objectives` of a search space against what is known of each metric: its direction and its bounds.

The checks belong to reading a space: an `Objective` of an old journal stays what it was.
"""

from collections.abc import Iterable, Mapping

from mtbert_ray.config.keys import YamlValue, check_section
from mtbert_ray.errors import Problems, did_you_mean, key_text, shown
from mtbert_ray.metrics import MAX_OBJECTIVES, Metric, Objective, completed_with, known_metrics, metric_of_task
from mtbert_ray.task_metrics import CLASSIFICATION_METRICS, F1_OF_CLASS, REGRESSION_METRICS, Direction
from mtbert_ray.tasks import TaskSpec

_OTHER: dict[str, Direction] = {"maximize": "minimize", "minimize": "maximize"}


def check_objectives(
    raw: YamlValue, tasks: tuple[TaskSpec, ...], problems: Problems, *, tasks_are_right: bool = True
) -> dict[str, Objective]:
    """Return the objectives that are right; the mistakes of the others go to `problems`.

    The tasks are completed with the metrics that the objectives name. Where the file's own could not be read, a metric
    of theirs is no mistake by itself.
    """
    if not isinstance(raw, dict) or not raw:
        problems.wrong_type(("objectives",), raw, "a mapping of at least one metric")
        return {}
    if len(raw) > MAX_OBJECTIVES:
        problems.about(("objectives",), f" has {len(raw)} metrics; must have at most {MAX_OBJECTIVES}", "out_of_bounds")
        return {}
    metrics = known_metrics(tasks)
    objectives = {}
    for name, entry in raw.items():
        path = ("objectives", key_text(name))
        if name not in metrics:
            if not tasks_are_right:
                continue
            text = f"objectives has the unknown metric '{key_text(name)}'{_nearest(key_text(name), tasks)}"
            problems.add(path, text, "unknown_metric")
            continue
        entry = _in_right_direction(name, entry, metrics[name], problems)
        objective = check_section(entry, Objective, path, problems)
        if objective is not None:
            _check_bounds(name, objective, metrics[name], problems)
            _check_fallback(name, objective, metrics, problems)
            _check_unique(name, objective.fallback, raw, problems)
            objectives[name] = objective
    return objectives


def completed_tasks(raw: YamlValue, tasks: Iterable[TaskSpec]) -> tuple[TaskSpec, ...]:
    """Return the tasks, each scored by the metrics that the objectives name as well, as `topic.f1_macro`."""
    completed = tuple(tasks)
    for name in raw if isinstance(raw, dict) else ():
        found = metric_of_task(key_text(name), completed)
        if found is not None:
            task, metric = found
            completed = tuple(completed_with(other, metric) if other is task else other for other in completed)
    return completed


def with_tasks(
    fixed: Mapping[str, YamlValue], before: Iterable[TaskSpec], completed: Iterable[TaskSpec]
) -> dict[str, YamlValue]:
    """Return fixed keys with the completed tasks, those that are as before left as they were written."""
    pairs = list(zip(before, completed, strict=True))
    if all(task is other for task, other in pairs):
        return dict(fixed)
    written = fixed.get("tasks") or [task.name for task, _ in pairs]
    tasks = [
        entry if task is other else other.model_dump(mode="json", exclude_unset=True)
        for entry, (task, other) in zip(written, pairs, strict=True)
    ]
    return {**fixed, "tasks": tasks}


def _nearest(name: str, tasks: tuple[TaskSpec, ...]) -> str:
    """Return the nearest right name of an unknown metric, and those that there are."""
    metrics = known_metrics(tasks)
    task = next((task for task in tasks if name.startswith(f"{task.name}.")), None)
    if task is None:
        plain = [known for known in metrics if "." not in known]
        return f"{did_you_mean(name, metrics)} ({', '.join(plain)})"
    listed = REGRESSION_METRICS if task.kind.is_regression else CLASSIFICATION_METRICS
    of_class = () if task.kind.is_regression else (f"{F1_OF_CLASS}CLASS",)
    allowed = ", ".join(f"{task.name}.{metric}" for metric in (*listed, *of_class))
    prefix = f"{task.name}."
    own = [known.removeprefix(prefix) for known in metrics if known.startswith(prefix)]
    near = did_you_mean(name.removeprefix(prefix), own, prefix=prefix)
    classes = f" with CLASS one of {', '.join(task.class_names)}" if of_class and task.class_names else ""
    return f"{near} ({task.name}, {allowed}{classes})"


def _in_right_direction(name: str, entry: YamlValue, metric: Metric, problems: Problems) -> YamlValue:
    """Return the entry, with the right direction where its own contradicts the metric, which is a mistake."""
    given = entry.get("direction") if isinstance(entry, dict) else None
    if not _contradicts(given, metric):
        return entry
    better = "more" if metric.direction == "maximize" else "less"
    text = f" has '{given}', but of {name} {better} is better; write direction: {metric.direction}"
    problems.about(("objectives", name, "direction"), text, "conflict")
    return {**entry, "direction": metric.direction}


def _contradicts(direction: object, metric: Metric) -> bool:
    return isinstance(direction, str) and direction == _OTHER[metric.direction] and not metric.is_a_matter_of_taste


def _check_bounds(name: str, objective: Objective, metric: Metric, problems: Problems) -> None:
    """Report a reference, a constraint or an attainable value that lies where the metric never is."""
    worst, best = metric.bounds(objective.direction)
    sign = 1 if objective.direction == "maximize" else -1

    def beyond(value: float, bound: float | None, *, with_bound: bool = False) -> bool:
        return bound is not None and (sign * value > sign * bound or (with_bound and value == bound))

    def add(key: str, value: float, text: str) -> None:
        hint = f"; {shown(value)}% is {value / 100:g}" if best == 1 and 2 <= value <= 100 else ""
        problems.about(("objectives", name, key), f" has {shown(value)}; {text}{hint}", "out_of_bounds")

    never_better = f"{name} is never {'above' if sign > 0 else 'below'} {_number(best)}"
    never_worse = f"{name} is never {'below' if sign > 0 else 'above'} {_number(worst)}"
    reference, constraint = objective.reference, objective.constraint
    if beyond(reference, best, with_bound=True):
        inside = "below" if sign > 0 else "above"
        add("reference", reference, f"no trial can be better, since {never_better}; give one {inside} {_number(best)}")
    elif worst is not None and sign * reference < sign * worst:
        order = "more" if sign > 0 else "less"
        add("reference", reference, f"{never_worse}; give {_number(worst)} or {order}")
    if constraint is not None:
        if beyond(constraint, best, with_bound=not metric.reaches_best):
            add("constraint", constraint, f"no trial can meet it, since {never_better}")
        elif worst is not None and sign * constraint <= sign * worst:
            add("constraint", constraint, f"every trial meets it, since {never_worse}; take it out")
    if objective.attainable is not None and beyond(objective.attainable, best):
        add("attainable", objective.attainable, f"no trial can attain it, since {never_better}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _check_fallback(name: str, objective: Objective, metrics: Mapping[str, Metric], problems: Problems) -> None:
    path, fallback = ("objectives", name, "fallback"), objective.fallback
    if fallback is None:
        return
    if fallback not in metrics:
        plain = ", ".join(known for known in metrics if "." not in known)
        text = f" has the unknown metric '{fallback}'{did_you_mean(fallback, metrics)} ({plain})"
        problems.about(path, text, "unknown_metric")
    elif not metrics[name].needs_gpu:
        problems.about(path, f": {name} needs no GPU, so it needs no fallback")
    elif metrics[fallback].needs_gpu:
        problems.about(path, f": {fallback} needs a GPU itself")
    elif metrics[fallback].unit != metrics[name].unit:
        units = f"{name} is in {metrics[name].unit or 'no unit'}, {fallback} in {metrics[fallback].unit or 'no unit'}"
        problems.about(path, f": {units}; a fallback needs the same unit")
    elif _contradicts(objective.direction, metrics[fallback]):
        better = "more" if metrics[fallback].direction == "maximize" else "less"
        text = f": of {fallback} {better} is better, and of {name} here the contrary"
        problems.about(path, f"{text}; a fallback needs the same direction")


def _check_unique(name: str, fallback: str | None, raw: Mapping[str, YamlValue], problems: Problems) -> None:
    others = {other: entry for other, entry in raw.items() if other != name}
    # A list: what stands there in place of a name may be anything.
    taken = [*others, *(entry.get("fallback") for entry in others.values() if isinstance(entry, dict))]
    if fallback is not None and fallback in taken:
        text = f": {fallback} is another objective already; without a GPU there would be one axis fewer"
        problems.about(("objectives", name, "fallback"), text)
