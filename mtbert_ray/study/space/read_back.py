"""Reads the search space of a journal, which may be another version's, damaged, or nobody's.

What a YAML file is checked for in `load.py` need not hold for it, but it must be possible to draw a trial from it.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError
from itertools import islice
from typing import Any

from pydantic import ValidationError

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.keys import YamlValue, field_of, problem_with
from mtbert_ray.errors import ConfigError, shown_briefly
from mtbert_ray.mistakes import problems_of
from mtbert_ray.study.space.conditions import in_dependency_order
from mtbert_ray.study.space.experiments import EXPERIMENT
from mtbert_ray.study.space.model import MAX_GRID, SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter


def read_space(content: Mapping[str, Any], where: str) -> SearchSpace:
    """Return the search space of a journal.

    `where` stands in front of each mistake.

    Raises:
        ConfigError: it is none of this version, or no trial could be drawn from it.
    """
    where = f"{where}: the search space of another version of this program"
    try:
        space = SearchSpace.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_of(error, where, SearchSpace, content)) from error
    if problems := list(_problems(space)):
        raise ConfigError([f"{where}: {problem}" for problem in problems])
    space.example_configs()  # Each must be a TrialConfig; a ConfigError tells which is none.
    return space


def _problems(space: SearchSpace) -> Iterator[str]:
    for section, keys in (("fixed", space.fixed), *((f"experiments.{k}", v) for k, v in space.experiments.items())):
        for key, value in keys.items():
            if problem := _problem_with(key, value):
                yield f"{section}.{key} {problem}"
    for key, parameter in space.search.items():
        if problem := next(filter(None, (_problem_with(key, value) for value in _ends(parameter))), None):
            yield f"search.{key} {problem}"
    for place, point in enumerate(space.points_to_evaluate):
        for key, value in point.items():
            if key not in space.search or not space.search[key].takes(value):
                yield f"points_to_evaluate.{place}.{key} has {shown_briefly(value)}, which is not searched"
    chosen = space.search.get(EXPERIMENT)
    names = chosen.values if isinstance(chosen, Choice) else [space.fixed.get(EXPERIMENT)]
    yield from (
        f"there is no experiment {shown_briefly(name)}"
        for name in names
        if name is not None and (not isinstance(name, str) or name not in space.experiments)
    )
    try:
        in_dependency_order(space.search)
    except CycleError as error:
        yield f"search: conditions run in a circle: {', '.join(error.args[1])}"
        return
    if space.algorithm == "grid" and not space.is_finite:
        yield "algorithm grid cannot list a range"
    elif space.algorithm == "grid" and len(list(islice(space.grid(), MAX_GRID + 1))) > MAX_GRID:
        yield f"the grid has more than {MAX_GRID} configs"


def _problem_with(key: str, value: YamlValue) -> str | None:
    if field_of(TrialConfig, key) is None:
        return "is no key of a trial"
    return problem_with(TrialConfig, key, value)


def _ends(parameter: Parameter) -> tuple[YamlValue, ...]:
    """Return the values of a choice, and the bounds of a range."""
    match parameter:
        case Choice(values=values):
            return values
        case FloatRange(low=low, high=high) | IntRange(low=low, high=high):
            return low, high
