"""Reads a search space from YAML and the command line, with every mistake reported at once, each with its place."""

import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.config.places import Problems
from mtbert_ray.config.yaml_lines import read_yaml_mapping
from mtbert_ray.errors import ConfigError
from mtbert_ray.schema import Schema
from mtbert_ray.study.pruning.rungs import HalvingConfig
from mtbert_ray.study.space.checks import (
    OPEN_KEYS,
    check_combinations,
    check_fixed,
    check_plain_keys,
    check_section,
    tasks_of,
)
from mtbert_ray.study.space.conditions import check_conditions, without_the_impossible
from mtbert_ray.study.space.experiments import (
    add_choice,
    check_chosen,
    check_experiments,
    chosen_names,
    settled_keys,
    with_experiment_first,
)
from mtbert_ray.study.space.fields import normalized
from mtbert_ray.study.space.model import SearchSpace, SweepResources
from mtbert_ray.study.space.objectives import check_objectives, completed_tasks, with_tasks
from mtbert_ray.study.space.overrides import apply_overrides, fix, flatten_sections
from mtbert_ray.study.space.parameters import FloatRange, Parameter, YamlValue
from mtbert_ray.study.space.paths import check_warm_start_from
from mtbert_ray.study.space.points_to_evaluate import (
    KeysOfSpace,
    check_points_to_evaluate,
    check_start_points,
    without_lost_keys,
)
from mtbert_ray.study.space.read_parameters import read_parameters

MAX_GRID = 10_000
"""Settings of the largest grid; more are better drawn than listed."""
_OF_A_SPACE = {"name", "objectives", "search", "experiments", "fixed", "trials"}
_SECTIONS: dict[str, type[Schema]] = {"resources": SweepResources, "halving": HalvingConfig, "probe": ProbeConfig}


def load_search_space(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    data_directory: str | None = None,
    num_trials: int | None = None,
) -> SearchSpace:
    """Read a search space from YAML, with the options of the command line on top.

    Args:
        path: the YAML file.
        overrides: `KEY=VALUE` texts. A TrialConfig key fixes that value and leaves the search and every experiment;
            any other key is a top-level one or below it, as `trials` or `objectives.dev_score.reference`.
        data_directory: folder of the course's files, in place of the data source of the YAML.
        num_trials: in place of `trials`.

    Warns:
        UserWarning: an option makes a parameter's condition impossible, so it is no longer searched.

    Raises:
        ConfigError: every mistake there is, each with its line or option.
    """
    content, problems = read_yaml_mapping(path, needed="a search space needs name, objectives, search and trials")
    if not _OF_A_SPACE & content.keys() and (TrialConfig.model_fields.keys() - {"seed", "resources"}) & content.keys():
        command = f"`python -m mtbert_ray.train --config {path}`"
        raise ConfigError([f"{path}: is the configuration of one trial and no search space; run it with {command}"])
    if content.get("search") == {} and "experiments" not in content:
        problems.add(("search",), "search is empty; it needs at least one parameter")
    flatten_sections(content, problems)
    apply_overrides(content, overrides, SearchSpace.model_fields, problems)
    if data_directory is not None:
        option = f"--data {data_directory}"
        fix(content, "data.source", "course", option, problems)
        fix(content, "data.directory", os.fspath(data_directory), option, problems)
    if num_trials is not None:
        content["trials"] = num_trials
        problems.place_on_command_line(("trials",), f"--trials {num_trials}")
    add_choice(content)

    space, points_to_evaluate = _checked(content, problems)
    check_combinations(space.examples(), space.build, problems)
    check_start_points(space, points_to_evaluate, problems)
    problems.raise_if_any()
    _warn_of_no_effect(space, content, problems)
    return space


def _checked(content: dict[str, YamlValue], problems: Problems) -> tuple[SearchSpace, list[int]]:
    """Return the space of a file's content, checked for all but what its values do together.

    With it come the places of its `points_to_evaluate` in the file's list.
    """
    check_plain_keys(content, SearchSpace, problems)
    raw_search = content.get("search", {})
    fixed = check_fixed(content.get("fixed") or {}, raw_search, problems)
    tasks = tasks_of(fixed)
    completed = completed_tasks(content.get("objectives"), tasks)
    given_tasks = isinstance(content.get("fixed"), dict) and "tasks" in content["fixed"]
    objectives = (
        check_objectives(
            content["objectives"], completed, problems, tasks_are_right=not given_tasks or "tasks" in fixed
        )
        if "objectives" in content
        else {}
    )
    fixed = with_tasks(fixed, tasks, completed)
    sections = {
        name: check_section(content.get(name, {}), model, (name,), problems) for name, model in _SECTIONS.items()
    }
    warm_start_from = check_warm_start_from(content.get("warm_start_from", []), problems)
    parameters = with_experiment_first(read_parameters(raw_search, problems))
    raw_experiments = content.get("experiments", {})
    experiments = check_experiments(raw_experiments, raw_search, problems)
    check_chosen(parameters, fixed, raw_experiments, problems)
    # As written where that is wrong, so that a condition on it is not blamed for it.
    as_written = {name: {**section, **experiments[name]} for name, section in raw_experiments.items()}
    all_fixed = {**(content.get("fixed") or {}), **fixed}
    check_conditions(parameters, settled_keys(all_fixed, as_written, list(as_written)), raw_search, problems)
    keys = KeysOfSpace(parameters=parameters, searched=raw_search, fixed=all_fixed, experiments=as_written)
    points_to_evaluate = check_points_to_evaluate(content.get("points_to_evaluate", []), keys, problems)
    if content.get("algorithm") == "grid":
        _check_grid(parameters, problems)
    problems.raise_if_any()

    settled = settled_keys(fixed, experiments, chosen_names(parameters, fixed))
    search = without_the_impossible(parameters, settled, problems)
    points_to_evaluate = without_lost_keys(points_to_evaluate, search)
    plain = {key: normalized(SearchSpace, key, value) for key, value in content.items() if key not in OPEN_KEYS}
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
    _check_grid_size(space, problems)
    return space, list(points_to_evaluate)


def _check_grid(parameters: Mapping[str, Parameter], problems: Problems) -> None:
    for key, parameter in parameters.items():
        if isinstance(parameter, FloatRange):
            text = f"search.{key} is a range, which algorithm grid cannot list; use {{grid: [..]}} or another algorithm"
            problems.add(("search", key), text)


def _check_grid_size(space: SearchSpace, problems: Problems) -> None:
    if space.algorithm == "grid" and sum(1 for _ in islice(space.grid(), MAX_GRID + 1)) > MAX_GRID:
        problems.add(("algorithm",), f"the grid has more than {MAX_GRID} settings; use another algorithm")
        problems.raise_if_any()


def _warn_of_no_effect(space: SearchSpace, content: Mapping[str, YamlValue], problems: Problems) -> None:
    for key in ("halving", "probe"):
        if space.scheduler == "fifo" and key in content:
            place = problems.place_of((key,))
            warnings.warn(f"{place}: {key} has no effect: scheduler fifo stops no trial", stacklevel=3)
