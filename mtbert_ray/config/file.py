"""Reads a configuration from a YAML file and the command line's `--set KEY=VALUE`. Knows no search space."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mtbert_ray.config.nesting import lay_over, nest
from mtbert_ray.config.places import Problems
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.config.trial import TrialConfig
from mtbert_ray.config.yaml_lines import read_value, read_yaml_mapping
from mtbert_ray.errors import ConfigError
from mtbert_ray.mistakes import allowed_keys, mistakes_in
from mtbert_ray.schema import is_number

Model = TypeVar("Model", bound=BaseModel)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `KEY=VALUE`, as --set takes it; the value is read as YAML.

    Raises:
        ConfigError: there is no `=`, no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError([f"--set {text}: expected KEY=VALUE, as epochs=3 or adapter.rank=4"])
    return key.strip(), read_value(value, f"--set {text}")


def load_config(
    path: Path | None, overrides: Mapping[str, Any] | None = None, *, data_directory: Path | None = None
) -> TrialConfig:
    """Read a TrialConfig from YAML (nested or dotted keys), with dotted overrides on top.

    Args:
        path: the file; none starts from the defaults.
        overrides: dotted keys and their values. A mapping for a group of keys, as `adapter`, changes those it names;
            every other value takes the place of the file's.
        data_directory: of the course's files (`--data`), in place of the file's data source.

    Raises:
        ConfigError: the file is missing, not YAML, or holds mistakes; all of them at once, each with its line.
    """
    return _load(TrialConfig, path, overrides or {}, data_directory).with_absolute_paths()


def load_sample_config(
    path: Path, overrides: Mapping[str, Any] | None = None, *, data_directory: Path | None = None
) -> SampleConfig:
    """Read a SampleConfig from YAML. Arguments and errors as of `load_config`."""
    return _load(SampleConfig, path, overrides or {}, data_directory).with_absolute_paths()


def problem_with_data_directory(directory: Path) -> str | None:
    """Return why a folder cannot be `--data`, or none. Which files it must hold depends on the tasks."""
    if directory.is_dir():
        return None
    what = "is a file" if directory.exists() else "there is no such folder"
    return f"{what}; give the folder that holds the course's files (ids-sst-train.csv and so on)"


def _load(model: type[Model], path: Path | None, overrides: Mapping[str, Any], data_directory: Path | None) -> Model:
    content, problems = ({}, Problems("--set")) if path is None else read_yaml_mapping(path)
    if {"objectives", "search"} <= set(content):
        command = f"`python -m mtbert_ray.sweep {path}`"
        raise ConfigError([f"{path}: is a search space, with objectives and search; run it with {command}"])
    if data_directory is not None:
        overrides = {**overrides, "data.source": "course", "data.directory": str(data_directory)}
    at_sections = partial(_at_sections, model)
    content = nest(content, problems.place_of, split=at_sections)
    for key, value in overrides.items():
        _drop_replaced(model, content, _parts(key), value)
    content = lay_over(content, overrides, lambda _: "--set", split=partial(_at_dots_of_options, model))
    for key in overrides:
        problems.place_on_command_line((key,), "--set")
    if data_directory is not None:
        option = f"--data {data_directory}"
        for key in ("data.source", "data.directory"):
            problems.place_on_command_line((key,), option)
        if text := problem_with_data_directory(data_directory):
            problems.add_option(option, text)
    try:
        made = model.model_validate(content)
    except ValidationError as error:
        problems.add_all((mistake.place, mistake.said()) for mistake in mistakes_in(error, model, content))
        raise problems.as_error() from error
    problems.raise_if_any()
    return made


def _at_sections(model: type[BaseModel], path: Sequence[str], key: str) -> list[str]:
    """Take a key apart where the model has a section; further down, dots belong to names, as of topics."""
    parts = _parts(key)
    depth = 0
    while depth < len(parts) and allowed_keys(model, (*path, *parts[:depth])):
        depth += 1
    return [*parts[:depth], ".".join(parts[depth:])] if depth < len(parts) else parts


def _at_dots_of_options(model: type[BaseModel], path: Sequence[str], key: str) -> list[str]:
    """Take an option's key apart at every dot, and the keys of its value as those of a file."""
    return _at_sections(model, path, key) if path else _parts(key)


def _parts(key: str) -> list[str]:
    """Take a key apart at its dots. A number, or a key with an empty part, is none of ours: it is refused whole."""
    parts = key.split(".")
    return [key] if "" in parts or is_number(key) else parts


def _drop_replaced(model: type[BaseModel], content: dict[str, Any], path: list[str], value: object) -> None:
    """Take out what an override replaces."""
    *parents, leaf = path
    for parent in parents:
        content = content[parent] if isinstance(content.get(parent), dict) else {}
    if not (isinstance(value, Mapping) and allowed_keys(model, path)):
        content.pop(leaf, None)
