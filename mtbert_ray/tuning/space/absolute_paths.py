"""Makes the local paths of a search space absolute, as those of its trials are.

A sweep that goes on from another working directory then reads what it read before, and searches the same settings.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mtbert_ray.tasks import TaskSpec, absolute, absolute_if_folder
from mtbert_ray.tuning.space.model import SearchSpace
from mtbert_ray.tuning.space.parameters import Choice, Parameter, YamlValue


def with_absolute_paths(space: SearchSpace) -> SearchSpace:
    """Return the same space with every local file and folder by its absolute path; `learn_from` has them already."""
    return space.model_copy(
        update={
            "fixed": _absolute(space.fixed),
            "experiments": {name: _absolute(section) for name, section in space.experiments.items()},
            "search": {key: _searched(key, parameter) for key, parameter in space.search.items()},
            "start_with": tuple(_absolute(given) for given in space.start_with),
        }
    )


def _searched(key: str, parameter: Parameter) -> Parameter:
    changed: dict[str, Any] = {
        "when": {other: tuple(_one(other, value) for value in allowed) for other, allowed in parameter.when.items()}
    }
    if isinstance(parameter, Choice):
        changed["values"] = tuple(_one(key, value) for value in parameter.values)
    return parameter.model_copy(update=changed)


def _absolute(values: Mapping[str, YamlValue]) -> dict[str, YamlValue]:
    return {key: _one(key, value) for key, value in values.items()}


def _one(key: str, value: YamlValue) -> YamlValue:
    return value if value is None or key not in _PATHS else _PATHS[key](value)


def _files(files: Mapping[str, str]) -> dict[str, str]:
    return {task: absolute(file) for task, file in files.items()}


def _tasks(tasks: list[YamlValue]) -> list[YamlValue]:
    return [task if isinstance(task, str) else _task(task) for task in tasks]


def _task(task: YamlValue) -> YamlValue:
    # As in the YAML: what was left out there is not to appear here.
    return TaskSpec.model_validate(task).with_absolute_paths().model_dump(mode="json", exclude_unset=True)


_PATHS: dict[str, Callable[[Any], YamlValue]] = {
    "encoder": absolute_if_folder,
    "init_from": absolute,
    "data.directory": absolute,
    "data.train_files": _files,
    "tasks": _tasks,
}
"""Dotted key -> its value by absolute paths: the keys that `TrialConfig.with_absolute_paths` changes."""
