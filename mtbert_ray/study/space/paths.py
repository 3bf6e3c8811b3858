"""Makes the local paths of a search space absolute, as those of its trials are.

A sweep that goes on from another working directory then reads what it read before, and searches the same settings.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtbert_ray.config.places import Problems
from mtbert_ray.errors import JournalError
from mtbert_ray.journal import read_journal
from mtbert_ray.mistakes import shown_briefly
from mtbert_ray.study.space.model import SearchSpace
from mtbert_ray.study.space.parameters import Choice, Parameter, YamlValue
from mtbert_ray.tasks import TaskSpec, absolute, absolute_if_folder


def with_absolute_paths(space: SearchSpace) -> SearchSpace:
    """Return the space with absolute paths of local files and folders; those of `warm_start_from` are so already."""
    return space.model_copy(
        update={
            "fixed": _absolute(space.fixed),
            "experiments": {name: _absolute(section) for name, section in space.experiments.items()},
            "search": {key: _searched(key, parameter) for key, parameter in space.search.items()},
            "points_to_evaluate": tuple(_absolute(given) for given in space.points_to_evaluate),
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


def check_warm_start_from(raw: YamlValue, problems: Problems) -> tuple[str, ...]:
    """Return the folders by their absolute paths; the mistakes go to `problems`."""
    if not isinstance(raw, list):
        got = shown_briefly(raw)
        text = f"warm_start_from has {got}; must be a list of the folders of earlier sweeps, as [reports/first]"
        problems.add(("warm_start_from",), text)
        return ()
    folders: dict[str, int] = {}
    for index, name in enumerate(raw):
        path, place = ("warm_start_from", str(index)), f"warm_start_from.{index}"
        if not isinstance(name, str):
            problems.add(path, f"{place} has {shown_briefly(name)}; must be a text, the folder of an earlier sweep")
            continue
        if not name.strip() or "\0" in name:
            problems.add(path, f"{place} has {shown_briefly(name)}; must be the folder of an earlier sweep")
            continue
        folder = absolute(name)
        if folder in folders:
            problems.add(path, f"{place} is the same folder as warm_start_from.{folders[folder]}; keep one of the two")
            continue
        folders[folder] = index
        if not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises for a name that is too long.
            is_file = os.path.isfile(folder)  # noqa: PTH113
            what = "is a file; give a folder" if is_file else "no such folder. Give the folder of a sweep (its --out)"
            problems.add(path, f"{place}: {folder}: {what}")
            continue
        try:
            read_journal(Path(folder))
        except JournalError as error:
            problems.add(path, f"{place}: {error}")
    return tuple(folders)
