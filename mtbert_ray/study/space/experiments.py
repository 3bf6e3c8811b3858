"""What trials have without its being searched: the `fixed` keys, and the named configs under `experiments`.

`experiment` chooses among the names like any searched parameter.
"""

from collections.abc import Mapping, Sequence

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, add_problems, field_of, is_section, normalized, unknown_key
from mtbert_ray.errors import KeyPath, Problems, did_you_mean, shown_briefly
from mtbert_ray.schema import problem_with_name
from mtbert_ray.study.space.parameters import Choice, Parameter
from mtbert_ray.tasks import TaskSpec

EXPERIMENT = "experiment"
"""The TrialConfig key that holds the name."""

Experiments = dict[str, dict[str, YamlValue]]
"""Name -> dotted TrialConfig key -> value."""

SettledKeys = Sequence[Mapping[str, YamlValue]]
"""What is settled before a value is searched, dotted key -> value: one mapping an experiment, or the fixed ones."""


def check_fixed(
    raw: Mapping[str, YamlValue], searched: Mapping[str, YamlValue], problems: Problems
) -> dict[str, YamlValue]:
    """Return the fixed values that are right; the mistakes go to `problems`."""
    for key in searched:
        if key in raw:
            text = f"'{key}' is both searched and fixed (at {problems.place_of(('fixed', key))}); keep one"
            problems.add(("search", key), text, "conflict")
    return _right_keys(raw, ("fixed",), problems)


def _right_keys(section: Mapping[str, YamlValue], above: KeyPath, problems: Problems) -> dict[str, YamlValue]:
    """Return the keys of `fixed` or of one experiment that are right; the mistakes go to `problems`."""
    right = {}
    for key, value in section.items():
        path = (*above, key)
        if key.split(".")[0] == "resources" or (key == "tasks" and above != ("fixed",)):
            where = "fixed" if key == "tasks" else "the top-level key 'resources'"
            problems.about(path, f" is the same for a whole sweep; set it under {where}", "misplaced")
        elif key == EXPERIMENT and above != ("fixed",):
            problems.about(path, f" has no use: the experiment is called '{above[-1]}'")
        elif field_of(TrialConfig, key) is None:
            problems.add(path, unknown_key(TrialConfig, key, f"{'.'.join(above)}."), "unknown_key")
        elif is_section(TrialConfig, key):
            problems.wrong_type(path, value, "a mapping")
        elif not add_problems(TrialConfig, key, value, path, problems):
            right[key] = value if key == "tasks" else normalized(TrialConfig, key, value)
    return right


def tasks_of(fixed: Mapping[str, YamlValue]) -> tuple[TaskSpec, ...]:
    """Return the tasks of every trial."""
    if "tasks" not in fixed:
        return TrialConfig().tasks
    tasks: tuple[TaskSpec, ...] = normalized(TrialConfig, "tasks", fixed["tasks"])
    return tasks


def add_choice(content: dict[str, YamlValue]) -> None:
    """Let every experiment be tried, in place, unless an option or the file chooses among them itself."""
    search, fixed = content.get("search") or {}, content.get("fixed") or {}
    if content.get("experiments") and EXPERIMENT not in search and EXPERIMENT not in fixed:
        content["search"] = {EXPERIMENT: {"choice": list(content["experiments"])}, **search}


def check_experiments(
    raw: Mapping[str, Mapping[str, YamlValue]], searched: Mapping[str, YamlValue], problems: Problems
) -> Experiments:
    """Return what is right in flattened experiments; the mistakes go to `problems`."""
    experiments: Experiments = {}
    for name, section in raw.items():
        if problem := problem_with_name(name):
            problems.add(("experiments", name), f"experiments has the name {shown_briefly(name)}; {problem}")
        experiments[name] = _right_keys(section, ("experiments", name), problems)
    for key in searched:
        places = [f"'{name}' ({problems.place_of(('experiments', name, key))})" for name in raw if key in raw[name]]
        if places:
            others = f"experiment{'s' if len(places) > 1 else ''} {', '.join(places)}"
            problems.add(("search", key), f"'{key}' is both searched and set by {others}; keep one", "conflict")
    return experiments


def check_chosen(
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, YamlValue],
    experiments: Mapping[str, Mapping[str, YamlValue]],
    problems: Problems,
) -> None:
    """Report what `search.experiment` or `fixed.experiment` names that is no experiment."""
    parameter = parameters.get(EXPERIMENT)
    chosen: list[tuple[KeyPath, YamlValue]] = []
    if isinstance(parameter, Choice):
        chosen += [(("search", EXPERIMENT), value) for value in parameter.values]
        if parameter.when:
            text = f"search.{EXPERIMENT} is drawn first, so it takes no condition"
            problems.add(("search", EXPERIMENT, "when"), text)
    if EXPERIMENT in fixed:
        chosen.append((("fixed", EXPERIMENT), fixed[EXPERIMENT]))
    for path, value in chosen:
        if value not in experiments:
            names = ", ".join(experiments) or "there is no top-level key 'experiments'"
            text = f" has {shown_briefly(value)}{did_you_mean(value, experiments)} ({names})"
            problems.about(path, text, "not_allowed")


def chosen_names(search: Mapping[str, Parameter], fixed: Mapping[str, YamlValue]) -> tuple[str, ...]:
    """Return the experiments that trials can have, in the order of the choice."""
    parameter = search.get(EXPERIMENT)
    if isinstance(parameter, Choice):
        return tuple(parameter.values)
    return (fixed[EXPERIMENT],) if EXPERIMENT in fixed else ()


def settled_keys(
    fixed: Mapping[str, YamlValue], experiments: Mapping[str, Mapping[str, YamlValue]], names: Sequence[str]
) -> SettledKeys:
    """Return what each of these experiments settles, or what is fixed alone where there are none."""
    return [{**fixed, **experiments.get(name, {})} for name in names] or [dict(fixed)]
