"""Reads a configuration from a YAML file, with the command line's `--set KEY=VALUE` and `--data DIR` on top."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mtbert_ray.config.keys import add_violations, field_of, flatten, lay_over, nest, unknown_key
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.config.trial import TrialConfig
from mtbert_ray.config.yaml_lines import read_assignments, read_yaml_mapping
from mtbert_ray.errors import ConfigError, Problems
from mtbert_ray.mistakes import violations_in
from mtbert_ray.schema import Schema

Model = TypeVar("Model", bound=Schema)


def load_config(path: Path | None, overrides: Iterable[str] = (), *, data_directory: Path | None = None) -> TrialConfig:
    """Read a TrialConfig from YAML (nested or dotted keys), with the options of the command line on top.

    Args:
        path: the file; none starts from the defaults.
        overrides: `KEY=VALUE` texts with dotted keys. A mapping for a group of keys, as `adapter`, changes those it
            names; every other value takes the place of the file's.
        data_directory: of the course's files (`--data`), in place of the file's data source.

    Raises:
        ConfigError: the file is missing, not YAML, or holds mistakes; all of them at once, each with its line.
    """
    return _load(TrialConfig, path, overrides, data_directory).with_absolute_paths()


def load_sample_config(
    path: Path, overrides: Iterable[str] = (), *, data_directory: Path | None = None
) -> SampleConfig:
    """Read a SampleConfig from YAML. Arguments and errors as of `load_config`."""
    return _load(SampleConfig, path, overrides, data_directory).with_absolute_paths()


def problem_with_data_directory(directory: Path) -> str | None:
    """Return why a folder cannot be `--data`, or none. Which files it must hold depends on the tasks."""
    if directory.is_dir():
        return None
    what = "is a file" if directory.exists() else "there is no such folder"
    return f"{what}; give the folder that holds the course's files (ids-sst-train.csv and so on)"


def _load(model: type[Model], path: Path | None, overrides: Iterable[str], data_directory: Path | None) -> Model:
    content, problems = ({}, Problems("--set")) if path is None else read_yaml_mapping(path)
    if {"objectives", "search"} <= set(content):
        command = f"`python -m mtbert_ray.sweep {path}`"
        raise ConfigError([f"{path}: is a search space, with objectives and search; run it with {command}"])
    flat = flatten(model, content, problems)
    options = list(read_assignments(overrides, problems))
    if data_directory is not None:
        option = f"--data {data_directory}"
        options += [(option, "data.source", "course"), (option, "data.directory", str(data_directory))]
        if text := problem_with_data_directory(data_directory):
            problems.add_option(option, text)
    for option, key, value in options:
        lay_over(model, flat, key, value, option, problems)
        problems.place_on_command_line((key,), option)
    for key in [key for key in flat if field_of(model, key) is None]:
        problems.add((key,), unknown_key(model, key), "unknown_key")
        del flat[key]
    nested = nest(flat)
    try:
        made = model.model_validate(nested)
    except ValidationError as error:
        add_violations(violations_in(error, model, nested), problems)
        problems.raise_if_any()
        raise
    problems.raise_if_any()
    return made
