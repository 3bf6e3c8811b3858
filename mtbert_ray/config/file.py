"""Reads a configuration from a YAML file and the command line's `--set KEY=VALUE`. Knows no search space."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mtbert_ray.config.nesting import lay_over, nest
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.config.trial import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.mistakes import allowed_keys, problems_of

Model = TypeVar("Model", bound=BaseModel)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split `KEY=VALUE`, as --set takes it; the value is read as YAML.

    Raises:
        ConfigError: there is no `=`, no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError([f"--set {text}: expected KEY=VALUE, as epochs=3 or adapter.rank=4"])
    try:
        return key.strip(), YAML(typ="safe").load(value)
    except YAMLError as error:
        raise ConfigError([f"--set {text}: the value is not YAML: {error}"]) from error


def load_config(path: Path | None, overrides: Mapping[str, Any] | None = None) -> TrialConfig:
    """Read a TrialConfig from YAML (nested or dotted keys), with dotted overrides on top.

    Args:
        path: the file; none starts from the defaults.
        overrides: dotted keys and their values. A mapping for a group of keys, as `adapter`, changes those it names;
            every other value takes the place of the file's.

    Raises:
        ConfigError: the file is missing, not YAML, or holds mistakes; all of them at once.
    """
    return _load(TrialConfig, path, overrides or {}).with_absolute_paths()


def load_sample_config(path: Path, overrides: Mapping[str, Any] | None = None) -> SampleConfig:
    """Read a SampleConfig from YAML. Arguments and errors as of `load_config`."""
    return _load(SampleConfig, path, overrides or {}).with_absolute_paths()


def _load(model: type[Model], path: Path | None, overrides: Mapping[str, Any]) -> Model:
    where = "--set" if path is None else str(path)
    try:
        content = {} if path is None else nest(read_yaml_mapping(path), where, split=partial(_at_sections, model))
        for key, value in overrides.items():
            _drop_replaced(model, content, key.split("."), value)
        return model.model_validate(lay_over(content, overrides, "--set", split=partial(_at_dots_of_options, model)))
    except ValidationError as error:
        raise ConfigError(problems_of(error, where, model, overrides)) from error


def _at_sections(model: type[BaseModel], path: Sequence[str], key: str) -> list[str]:
    """Take a key apart where the model has a section; further down, dots belong to names, as of topics."""
    parts = key.split(".")
    depth = 0
    while depth < len(parts) and allowed_keys(model, (*path, *parts[:depth])):
        depth += 1
    return [*parts[:depth], ".".join(parts[depth:])] if depth < len(parts) else parts


def _at_dots_of_options(model: type[BaseModel], path: Sequence[str], key: str) -> list[str]:
    """Take an option's key apart at every dot, and the keys of its value as those of a file."""
    return _at_sections(model, path, key) if path else key.split(".")


def _drop_replaced(model: type[BaseModel], content: dict[str, Any], path: list[str], value: object) -> None:
    """Take out what an override replaces."""
    *parents, leaf = path
    for parent in parents:
        content = content[parent] if isinstance(content.get(parent), dict) else {}
    if not (isinstance(value, Mapping) and allowed_keys(model, path)):
        content.pop(leaf, None)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping.
    """
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error
    except YAMLError as error:
        raise ConfigError([f"{path}: not YAML: {error}"]) from error
    if not isinstance(content, dict):
        got = "an empty file" if content is None else type(content).__name__
        raise ConfigError([f"{path}: expected a mapping of keys to values, got {got}"])
    return content
