"""Looks up a dotted key in a configuration model and says what is wrong with a value for it.

A value is held against the field's own type, so that a search space can never allow what a TrialConfig refuses.
"""

import functools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mtbert_ray.config.places import KeyPath, Problems
from mtbert_ray.mistakes import Keys, Mistake, mistakes_in, shown, shown_briefly
from mtbert_ray.mistakes import unknown_key as beside
from mtbert_ray.schema import Schema
from mtbert_ray.study.space.parameters import YamlValue


def field_of(model: type[Schema], key: str) -> FieldInfo | None:
    """Return the field that a dotted key names, or None."""
    field: FieldInfo | None = None
    section: type[Schema] | None = model
    for part in key.split("."):
        if section is None or part not in section.model_fields:
            return None
        field = section.model_fields[part]
        section = _section(field)
    return field


def is_section(model: type[Schema], key: str) -> bool:
    """Whether a dotted key names a group of keys, as `adapter`."""
    field = field_of(model, key)
    return field is not None and _section(field) is not None


def leaf_keys(model: type[Schema]) -> list[str]:
    """Return the dotted names of everything that can be set."""
    leaves = []
    for name, field in model.model_fields.items():
        section = _section(field)
        leaves += [name] if section is None else [f"{name}.{leaf}" for leaf in leaf_keys(section)]
    return leaves


def unknown_key(model: type[Schema], key: str, prefix: str = "") -> str:
    """Return what to say of a key that the model does not have: the nearest right one and those beside it."""
    parent = key.rpartition(".")[0]
    field = field_of(model, parent) if parent else None
    section = _section(field) if field is not None else model
    allowed = list((section or model).model_fields)
    near = [*leaf_keys(model), *model.model_fields]
    return f"unknown key '{prefix}{key}'{beside(key, allowed, prefix=prefix, near=near)}"


def add_problems(
    model: type[Schema], key: str, value: YamlValue, path: KeyPath, problems: Problems, *, name: str | None = None
) -> bool:
    """Add what is wrong with a value for a key, each mistake at its own line; return whether anything is.

    Args:
        model: that has the key.
        key: dotted.
        value: as read from YAML.
        path: of the value in the file.
        problems: where mistakes go.
        name: what the value is called in messages; none takes the path.
    """
    name = ".".join(path) if name is None else name
    mistakes = _mistakes_of(model, key, value)
    problems.add_all(((mistake.place, mistake.said(name)) for mistake in mistakes), below=path)
    return bool(mistakes)


def problem_with(model: type[Schema], key: str, value: YamlValue) -> str | None:
    """Return what is wrong with a plain value, as `has 0; must be greater than or equal to 1`, or None."""
    mistakes = _mistakes_of(model, key, value)
    if not mistakes:
        return None
    below = ".".join(map(str, mistakes[0].keys))
    return mistakes[0].said().removeprefix(below).lstrip(": ") if below else mistakes[0].text


def _mistakes_of(model: type[Schema], key: str, value: YamlValue) -> Sequence[Mistake]:
    if infinite := list(_infinite_in(value)):
        wanted = "must be a finite number"
        return [Mistake(keys=keys, kind="value", text=f"has {shown(got)}; {wanted}") for keys, got in infinite]
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
        # JSON would turn 1 into '1' unseen.
        return [Mistake(keys=(), kind="value", text=f"has {shown_briefly(value)}; its keys must be texts")]
    try:
        _validate(model, key, value)
    except ValidationError as error:
        return mistakes_in(error, _annotation(model, key), value if key == "tasks" else json.loads(_json(value)))
    return ()


def normalized(model: type[Schema], key: str, value: YamlValue) -> YamlValue:
    """Return a valid value as its field holds it (16 becomes 16.0 for a float); other lists and mappings stay."""
    if key != "tasks" and isinstance(value, list | dict):
        return value
    return _validate(model, key, value)


def _section(field: FieldInfo) -> type[Schema] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Schema) else None


def _annotation(model: type[Schema], key: str) -> object:
    field = field_of(model, key)
    assert field is not None, f"{key} is looked up before it is checked"
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


@functools.cache
def _adapter(model: type[Schema], key: str) -> TypeAdapter[YamlValue]:
    return TypeAdapter(_annotation(model, key))  # type: ignore[arg-type]  # A type that only pydantic knows.


def _validate(model: type[Schema], key: str, value: YamlValue) -> YamlValue:
    if key == "tasks":  # Names stand for whole specifications, which strict JSON does not let through.
        return _adapter(model, key).validate_python(value)
    # Strict, so that "16" and true are no numbers; as JSON, so that a list is a tuple. YAML's dates become strings.
    return _adapter(model, key).validate_json(_json(value), strict=True)


def _json(value: YamlValue) -> str:
    return json.dumps(value, default=str)


def _infinite_in(value: object) -> Iterator[tuple[Keys, float]]:
    """Yield the numbers below a value that are not finite, each with its place."""
    if isinstance(value, list | dict):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            for keys, number in _infinite_in(below):
                yield (key, *keys), number
    elif isinstance(value, float) and not math.isfinite(value):
        yield (), value
