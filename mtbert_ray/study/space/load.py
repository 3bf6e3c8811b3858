"""Reads a search space from YAML and the command line, with every mistake reported at once, each with its place.

`fixed`, `search`, each of the `experiments` and each of `points_to_evaluate` are flattened to dotted keys first, so
that a key has one name however it was written. Some 300 lines, not split: one mistake may come from any two of them.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from mtbert_ray.config import HalvingConfig, ProbeConfig, TrialConfig
from mtbert_ray.config.keys import (
    YamlValue,
    add_problems,
    check_section,
    field_of,
    flatten,
    lay_over,
    leaf_keys,
    leaf_of,
    normalized,
    problem_with,
    unknown_key,
)
from mtbert_ray.config.sections import ReportConfig
from mtbert_ray.config.yaml_lines import read_assignments, read_yaml_mapping
from mtbert_ray.errors import ConfigError, KeyPath, Problems, did_you_mean, key_text
from mtbert_ray.metrics import Objective
from mtbert_ray.schema import Schema
from mtbert_ray.study.space.conditions import check_combinations, check_conditions, without_the_impossible
from mtbert_ray.study.space.experiments import (
    EXPERIMENT,
    add_choice,
    check_chosen,
    check_experiments,
    check_fixed,
    chosen_names,
    settled_keys,
    tasks_of,
)
from mtbert_ray.study.space.model import MAX_GRID, SearchSpace, SweepResources
from mtbert_ray.study.space.objectives import check_objectives, completed_tasks, with_tasks
from mtbert_ray.study.space.parameters import FloatRange
from mtbert_ray.study.space.points_to_evaluate import (
    KeysOfSpace,
    check_first_configs,
    check_points_to_evaluate,
    check_warm_start_from,
    without_lost_keys,
)
from mtbert_ray.study.space.read_parameters import read_parameters

_OF_A_SPACE = {"name", "objectives", "search", "experiments", "fixed", "trials"}
_SECTIONS: dict[str, type[Schema]] = {
    "resources": SweepResources,
    "halving": HalvingConfig,
    "probe": ProbeConfig,
    "report": ReportConfig,
}
_OPEN_KEYS = ("objectives", "fixed", "experiments", "search", "points_to_evaluate", "warm_start_from", *_SECTIONS)
"""The top-level keys with keys or a list below them."""
_NEEDED = {
    "name": "what the sweep is called, as `name: lora_rank`",
    "objectives": "a metric each, as `dev_score: {direction: maximize, reference: 0.5}`",
    "search": "a parameter each, as `learning_rate: {loguniform: [1e-5, 1e-3]}`",
}


def load_search_space(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    data_directory: str | None = None,
    num_trials: int | None = None,
    repeats: int | None = None,
) -> SearchSpace:
    """Read a search space from YAML, with the options of the command line on top.

    Args:
        path: the YAML file.
        overrides: `KEY=VALUE` texts. A TrialConfig key fixes that value and leaves the search and every experiment;
            any other key is a top-level one or below it, as `trials` or `objectives.dev_score.reference`.
        data_directory: folder of the course's files, in place of the data source of the YAML.
        num_trials: in place of `trials`.
        repeats: in place of the YAML's own.

    Warns:
        UserWarning: an option makes a parameter's condition impossible, so it is no longer searched; or a key has no
            effect.

    Raises:
        ConfigError: every mistake there is, each with its line or option.
    """
    content, problems = read_yaml_mapping(path, needed="a search space needs name, objectives, search and trials")
    if not _OF_A_SPACE & content.keys() and (TrialConfig.model_fields.keys() - {"seed", "resources"}) & content.keys():
        command = f"`python -m mtbert_ray.train --config {path}`"
        raise ConfigError([f"{path}: is the configuration of one trial and no search space; run it with {command}"])
    if content.get("search") == {} and "experiments" not in content:
        problems.add(("search",), "search is empty; it needs at least one parameter", "out_of_bounds")
    _flatten_sections(content, problems)
    for option, key, value in read_assignments(overrides, problems):
        _override(content, key, value, option, problems)
    if data_directory is not None:
        option = f"--data {data_directory}"
        _fix(content, "data.source", "course", option, problems)
        _fix(content, "data.directory", os.fspath(data_directory), option, problems)
    if num_trials is not None:
        _set_below(content, ("trials",), num_trials, f"--trials {num_trials}", problems)
    if repeats is not None:
        _set_below(content, ("repeats",), repeats, f"--repeats {repeats}", problems)
    add_choice(content)

    space, points_to_evaluate = _checked(content, problems)
    check_combinations(space.examples(), space.build, problems)
    check_first_configs(space, points_to_evaluate, problems)
    problems.raise_if_any()
    _warn_of_no_effect(space, content, problems)
    return space


# Dotted keys


def _flatten_sections(content: dict[str, YamlValue], problems: Problems) -> None:
    """Turn nested keys of `fixed`, `search`, each experiment and each of `points_to_evaluate` into dotted ones."""
    for name in ("fixed", "search"):
        if name in content and not (content[name] is None and name == "fixed"):
            content[name] = _flat(content[name], (name,), problems)
    if isinstance(entries := content.get("points_to_evaluate"), list):
        content["points_to_evaluate"] = [
            _flat(entry, ("points_to_evaluate", str(index)), problems) if isinstance(entry, dict) else entry
            for index, entry in enumerate(entries)
        ]
    if "experiments" not in content:
        return
    experiments = content["experiments"]
    if not isinstance(experiments, dict) or not experiments:
        problems.wrong_type(("experiments",), experiments, "a mapping of names to a trial's keys")
        experiments = {}
    # One without keys is what is fixed alone.
    content["experiments"] = {
        key_text(name): _flat({} if section is None else section, ("experiments", key_text(name)), problems)
        for name, section in experiments.items()
    }


def _flat(section: YamlValue, path: KeyPath, problems: Problems) -> dict[str, YamlValue]:
    if isinstance(section, dict):
        return flatten(TrialConfig, section, problems, path)
    problems.wrong_type(path, section, "a mapping of a trial's keys")
    return {}


# Options


def _override(content: dict[str, YamlValue], key: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Lay an option over the flattened content, in place."""
    head, _, rest = key.partition(".")
    if head == "fixed" and rest:
        _fix(content, rest, value, option, problems)
    elif head == "search" and rest:
        _search(content, rest, value, option, problems)
    elif head == "objectives" and rest:
        _set_below(content, _path_below(head, rest, content), value, option, problems)
    elif key == "search" and value == {} and not content.get("experiments"):
        problems.add_option(option, "search is empty; it needs at least one parameter")
    elif head in SearchSpace.model_fields:
        path = _path_below(head, rest, content) if head == "experiments" and rest else tuple(key.split("."))
        _set_below(content, path, value, option, problems)
        _flatten_sections(content, problems)
    elif field_of(TrialConfig, leaf_of(TrialConfig, key)[0]) is not None:
        _fix(content, key, value, option, problems)
    else:
        near = did_you_mean(key, (*leaf_keys(TrialConfig), *TrialConfig.model_fields, *SearchSpace.model_fields))
        problems.add_option(option, f"unknown key '{key}'{near}", "unknown_key")


def _fix(content: dict[str, YamlValue], key: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Give a TrialConfig key one value for the whole sweep: it leaves the search and every experiment."""
    content["fixed"] = content.get("fixed") or {}
    for leaf in lay_over(TrialConfig, content["fixed"], key, value, option, problems):
        for section in (content.get("search", {}), *content.get("experiments", {}).values()):
            section.pop(leaf, None)
        problems.place_on_command_line(("fixed", leaf), option)


def _path_below(head: str, dotted: str, content: dict[str, YamlValue]) -> KeyPath:
    """Return `(head, name)`, with the key below it where there is one. Names may hold dots themselves."""
    known = content.get(head)
    names = [key_text(name) for name in (known if isinstance(known, dict) else {})]
    if names := [name for name in names if f"{dotted}.".startswith(f"{name}.")]:
        name = max(names, key=len)
    elif head == "experiments":
        name = dotted.partition(".")[0]
    else:  # A metric of a task has a dot itself, as `topic.f1_macro`.
        above, _, last = dotted.rpartition(".")
        name = above if last in Objective.model_fields else dotted
    key = dotted[len(name) + 1 :]
    return (head, name, key) if key else (head, name)


def _search(content: dict[str, YamlValue], dotted: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Set a searched key's parameter, or one entry of it (`adapter.rank.choice`)."""
    key, rest = leaf_of(TrialConfig, dotted)
    below = rest.split(".") if rest else ()
    content.setdefault("search", {})
    for section in (content.get("fixed") or {}, *content.get("experiments", {}).values()):
        section.pop(key, None)
    _set_below(content, ("search", key, *below), value, option, problems)


def _set_below(content: dict[str, YamlValue], path: KeyPath, value: YamlValue, option: str, problems: Problems) -> None:
    target = content
    for part in path[:-1]:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[path[-1]] = value
    problems.place_on_command_line(path, option)


# Checks


def _checked(content: dict[str, YamlValue], problems: Problems) -> tuple[SearchSpace, list[int]]:
    """Return the space of a file's content, checked for all but what its values do together.

    With it come the places of its `points_to_evaluate` in the file's list.
    """
    _check_plain_keys(content, problems)
    raw_search, raw_fixed = content.get("search", {}), content.get("fixed") or {}
    raw_experiments = content.get("experiments", {})
    fixed = check_fixed(raw_fixed, raw_search, problems)
    tasks = tasks_of(fixed)
    completed = completed_tasks(content.get("objectives"), tasks)
    objectives = {}
    if "objectives" in content:
        tasks_are_right = "tasks" not in raw_fixed or "tasks" in fixed
        objectives = check_objectives(content["objectives"], completed, problems, tasks_are_right=tasks_are_right)
    fixed = with_tasks(fixed, tasks, completed)
    sections = {
        name: check_section(content.get(name, {}), model, (name,), problems) for name, model in _SECTIONS.items()
    }
    warm_start_from = check_warm_start_from(content.get("warm_start_from", []), problems)
    # The experiment first: conditions on a key that it sets come after it.
    first = sorted(raw_search.items(), key=lambda item: item[0] != EXPERIMENT)
    parameters = read_parameters(dict(first), problems)
    experiments = check_experiments(raw_experiments, raw_search, problems)
    check_chosen(parameters, fixed, raw_experiments, problems)
    # As written where that is wrong, so that a condition on it is not blamed for it.
    as_written = {name: {**section, **experiments[name]} for name, section in raw_experiments.items()}
    all_fixed = {**raw_fixed, **fixed}
    check_conditions(parameters, settled_keys(all_fixed, as_written, list(as_written)), raw_search, problems)
    keys = KeysOfSpace(parameters=parameters, searched=raw_search, fixed=all_fixed, experiments=as_written)
    points_to_evaluate = check_points_to_evaluate(content.get("points_to_evaluate", []), keys, problems)
    if content.get("algorithm") == "grid":
        for key in [key for key, parameter in parameters.items() if isinstance(parameter, FloatRange)]:
            text = " is a range, which algorithm grid cannot list; use {grid: [..]} or another algorithm"
            problems.about(("search", key), text, "not_allowed")
    problems.raise_if_any()

    settled = settled_keys(fixed, experiments, chosen_names(parameters, fixed))
    search = without_the_impossible(parameters, settled, problems)
    points_to_evaluate = without_lost_keys(points_to_evaluate, search)
    plain = {key: normalized(SearchSpace, key, value) for key, value in content.items() if key not in _OPEN_KEYS}
    space = SearchSpace(
        objectives=objectives,
        fixed=fixed,
        experiments=experiments,
        search=search,
        points_to_evaluate=tuple(points_to_evaluate.values()),
        warm_start_from=warm_start_from,
        **sections,
        **plain,
    )
    if space.algorithm == "grid" and sum(1 for _ in islice(space.grid(), MAX_GRID + 1)) > MAX_GRID:
        problems.add(
            ("algorithm",), f"the grid has more than {MAX_GRID} configs; use another algorithm", "out_of_bounds"
        )
        problems.raise_if_any()
    return space, list(points_to_evaluate)


def _check_plain_keys(content: Mapping[str, YamlValue], problems: Problems) -> None:
    """Check that every top-level key is known, that none is missing, and the type of the plain ones."""
    for key, value in content.items():
        if key not in SearchSpace.model_fields:
            problems.add((key,), unknown_key(SearchSpace, key), "unknown_key")
        elif key not in _OPEN_KEYS:
            add_problems(SearchSpace, key, value, (key,), problems)
    for key, meaning in _NEEDED.items():
        if key not in content and not (key == "search" and "experiments" in content):
            problems.add((), f"missing key '{key}': {meaning}", "missing_key", key=(key,))
    is_bounded = any(content.get(key) is not None for key in ("trials", "time_budget_minutes"))
    # A misspelt algorithm may be the grid, which needs neither.
    is_known = problem_with(SearchSpace, "algorithm", content.get("algorithm", "front")) is None
    if not is_bounded and is_known and content.get("algorithm") != "grid":
        text = "missing key 'trials' (how many to run) or 'time_budget_minutes'; give one or both"
        problems.add((), text, "missing_key", key=("trials",))


def _warn_of_no_effect(space: SearchSpace, content: Mapping[str, YamlValue], problems: Problems) -> None:
    for key in ("halving", "probe"):
        if space.scheduler == "fifo" and key in content:
            place = problems.place_of((key,))
            warnings.warn(f"{place}: {key} has no effect: scheduler fifo stops no trial", stacklevel=3)
    if space.repeats > 0 and space.num_trials is None and not space.is_finite:
        why = "they come after the last trial, but this search has none: time alone ends it"
        remedy = "give trials as well, or repeat its front later with --resume FOLDER --repeat-front N"
        warnings.warn(f"{problems.place_of(('repeats',))}: repeats has no effect: {why}; {remedy}", stacklevel=3)
