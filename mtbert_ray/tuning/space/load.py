"""Reads a search space from YAML and the command line, with every mistake reported at once, each with its place."""

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from mtbert_ray.tuning.space.checks import (
    OPEN_KEYS,
    check_fixed,
    check_objectives,
    check_plain_keys,
    check_section,
    tasks_of,
)
from mtbert_ray.tuning.space.combinations import check_combinations
from mtbert_ray.tuning.space.conditions import check_conditions, without_the_impossible
from mtbert_ray.tuning.space.experiments import (
    add_choice,
    check_chosen,
    check_experiments,
    chosen_names,
    settled_keys,
    with_experiment_first,
)
from mtbert_ray.tuning.space.fields import normalised
from mtbert_ray.tuning.space.file import Problems, read_space_file
from mtbert_ray.tuning.space.model import SearchSpace, SweepResources
from mtbert_ray.tuning.space.overrides import apply_overrides, fix, flatten_sections
from mtbert_ray.tuning.space.parameters import FloatRange, Parameter, YamlValue
from mtbert_ray.tuning.space.read_parameters import read_parameters

MAX_GRID = 10_000
"""Settings of the largest grid; more are better drawn than listed."""


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
    content, problems = read_space_file(path)
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

    space = _checked(content, problems)
    check_combinations(space.examples(), space.build, problems)
    problems.raise_if_any()
    return space


def _checked(content: dict[str, YamlValue], problems: Problems) -> SearchSpace:
    """Return the space of a file's content, all but what its values do together."""
    check_plain_keys(content, SearchSpace, problems)
    raw_search = content.get("search", {})
    fixed = check_fixed(content.get("fixed") or {}, raw_search, problems)
    objectives = check_objectives(content["objectives"], tasks_of(fixed), problems) if "objectives" in content else {}
    resources = check_section(content.get("resources", {}), SweepResources, ("resources",), problems)
    parameters = with_experiment_first(read_parameters(raw_search, problems))
    raw_experiments = content.get("experiments", {})
    experiments = check_experiments(raw_experiments, raw_search, problems)
    check_chosen(parameters, fixed, raw_experiments, problems)
    # As written where that is wrong, so that a condition on it is not blamed for it.
    as_written = {name: {**section, **experiments[name]} for name, section in raw_experiments.items()}
    all_fixed = {**(content.get("fixed") or {}), **fixed}
    check_conditions(parameters, settled_keys(all_fixed, as_written, list(as_written)), raw_search, problems)
    if content.get("algorithm") == "grid":
        _check_grid(parameters, problems)
    problems.raise_if_any()
    assert resources is not None, "a section without problems is a model"

    settled = settled_keys(fixed, experiments, chosen_names(parameters, fixed))
    search = without_the_impossible(parameters, settled, problems)
    plain = {key: normalised(SearchSpace, key, value) for key, value in content.items() if key not in OPEN_KEYS}
    space = SearchSpace(
        objectives=objectives, fixed=fixed, experiments=experiments, search=search, resources=resources, **plain
    )
    if space.algorithm == "grid" and sum(1 for _ in islice(space.grid(), MAX_GRID + 1)) > MAX_GRID:
        problems.add(
            ("algorithm",), f"the grid has more than {MAX_GRID} settings; use algorithm random, tpe, nsga2 or front"
        )
        problems.raise_if_any()
    return space


def _check_grid(parameters: Mapping[str, Parameter], problems: Problems) -> None:
    for key, parameter in parameters.items():
        if isinstance(parameter, FloatRange):
            text = f"search.{key} is a range, which algorithm grid cannot list; use {{grid: [..]}} or another algorithm"
            problems.add(("search", key), text)
