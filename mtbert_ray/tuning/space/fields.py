"""Looks up a dotted key in a configuration model and says what is wrong with a value for it.

A value is held against the field's own type, so that a search space can never allow what a TrialConfig refuses.
"""

import functools
import json
import math
from typing import Annotated

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mtbert_ray.errors import did_you_mean
from mtbert_ray.schema import Schema
from mtbert_ray.tuning.space.parameters import YamlValue


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
    beside = list((section or model).model_fields)
    near = did_you_mean(prefix + key, [prefix + leaf for leaf in (*leaf_keys(model), *model.model_fields)])
    return f"unknown key '{prefix}{key}'{near} ({', '.join(beside)})"


def problem_with(model: type[Schema], key: str, value: YamlValue) -> str | None:
    """Return what is wrong with a value, as `has 0; must be greater than or equal to 1`, or None."""
    if not _is_finite(value):
        return f"has {shown(value)}; must be a finite number"
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
        return f"has {shown(value)}; its keys must be texts"  # JSON would turn 1 into '1' unseen.
    try:
        _validate(model, key, value)
    except ValidationError as error:
        details = error.errors()
        # A string where a union of a number and names is due was meant as a name.
        literals = [detail for detail in details if detail["type"] == "literal_error"]
        if literals and isinstance(value, str):
            return _misspelt(value, literals)
        if key == "tasks":
            return f"has {shown(value)}; {_in_tasks(details)}"
        wanted = list(dict.fromkeys(_wanted(detail) for detail in details))
        return f"has {shown(value)}; {' or '.join(wanted)}"
    return None


def normalised(model: type[Schema], key: str, value: YamlValue) -> YamlValue:
    """Return a valid value as its field holds it (16 becomes 16.0 for a float); other lists and mappings stay."""
    if key != "tasks" and isinstance(value, list | dict):
        return value
    return _validate(model, key, value)


def shown(value: object) -> str:
    """Return a value as YAML would have it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {shown(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _section(field: FieldInfo) -> type[Schema] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Schema) else None


@functools.cache
def _adapter(model: type[Schema], key: str) -> TypeAdapter[YamlValue]:
    field = field_of(model, key)
    assert field is not None, f"{key} is looked up before it is checked"
    constrained = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(constrained)  # type: ignore[arg-type]  # A type that only pydantic knows.


def _validate(model: type[Schema], key: str, value: YamlValue) -> YamlValue:
    if key == "tasks":  # Names stand for whole specifications, which strict JSON does not let through.
        return _adapter(model, key).validate_python(value)
    # Strict, so that "16" and true are no numbers; as JSON, so that a list is a tuple. YAML's dates become strings.
    return _adapter(model, key).validate_json(json.dumps(value, default=str), strict=True)


def _is_finite(value: object) -> bool:
    if isinstance(value, list | dict):
        return all(_is_finite(item) for item in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _misspelt(value: str, literals: list[ErrorDetails]) -> str:
    expected = ", ".join(detail["ctx"]["expected"] for detail in literals)
    allowed = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
    return f"has {shown(value)}{did_you_mean(value, allowed)} ({', '.join(allowed)})"


_TYPE_NAMES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "none_required": "must be null",
    "missing": "is missing",
    "extra_forbidden": "unknown key",
}


def _in_tasks(details: list[ErrorDetails]) -> str:
    """Return what is wrong inside the list of tasks, each with its place, as `0.source.dev: Field required`."""
    # Where a task is wrong, pydantic adds that the list has become too short.
    places = [detail for detail in details if detail["type"] != "too_short"] or details
    return "; ".join(": ".join(filter(None, [".".join(map(str, d["loc"])), _wanted(d)])) for d in places)


def _wanted(detail: ErrorDetails) -> str:
    if detail["type"] in _TYPE_NAMES:
        return _TYPE_NAMES[detail["type"]]
    if detail["type"] == "string_pattern_mismatch":
        return f"must be of the form {detail['ctx']['pattern']}"
    return detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
