"""The dotted keys of a model, as `adapter.rank`: which there are, what they may hold, and how mappings become keys.

A key is the same key however it was written: `adapter.rank: 8` or `adapter: {rank: 8}`, in a file or by `--set`. A
value is held against the field's own type, so that a search space can never allow what a TrialConfig refuses.
"""

import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mtbert_ray.errors import (
    ConfigError,
    KeyPath,
    Problems,
    is_number,
    key_text,
    shown,
    shown_briefly,
    unknown_key_hint,
)
from mtbert_ray.mistakes import Keys, Violation, violations_in
from mtbert_ray.schema import Schema

Model = TypeVar("Model", bound=Schema)
YamlValue = Any
"""A scalar, list or mapping of YAML."""

# Dotted and nested


def nest(flat: Mapping[str, YamlValue]) -> dict[str, Any]:
    """Turn dotted keys into nested dicts: `{"adapter.rank": 8}` into `{"adapter": {"rank": 8}}`.

    Plain keys with mappings are merged with dotted ones: `{"adapter": {"kind": "lora"}, "adapter.rank": 8}`. Of the
    same key written both ways the later one counts.

    Raises:
        ConfigError: a key has a value and keys below it: `{"adapter": 3, "adapter.rank": 8}`.
    """
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        _put(nested, key.split("."), value, "")
    return nested


def _put(target: dict[str, Any], parts: Sequence[str], value: YamlValue, above: str) -> None:
    name, *below = parts
    if not below and not isinstance(value, Mapping):
        if isinstance(target.get(name), dict):
            raise ConfigError([_conflict(f"{above}{name}", value)])
        target[name] = value
        return
    section = target.setdefault(name, {})
    if not isinstance(section, dict):
        raise ConfigError([_conflict(f"{above}{name}", section)])
    for parts, part in [(below, value)] if below else [([key_text(key)], part) for key, part in value.items()]:
        _put(section, parts, part, f"{above}{name}.")


def _conflict(name: str, value: YamlValue) -> str:
    return f"'{name}' has the value {shown_briefly(value)} and keys below it; keep one of the two"


def dotted(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested dicts into dotted keys, the other way round; a list is one value, an empty dict none."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        below = {f"{key}.{name}": part for name, part in dotted(value).items()} if isinstance(value, Mapping) else None
        flat |= {key: value} if below is None else below
    return flat


def flatten(
    model: type[Schema], section: Mapping[Any, YamlValue], problems: Problems, path: KeyPath = ()
) -> dict[str, YamlValue]:
    """Return dotted key -> value of a section of YAML, in which keys are nested, dotted or both.

    Only groups of keys are taken apart, no other mappings. Keys that the model does not have stay as they are written;
    those that stand twice, or have a value and keys below it, go to `problems`.
    """
    flat: dict[str, YamlValue] = {}
    conflicts: dict[str, YamlValue] = {}
    for written, below, value in _leaves(model, section, path):
        key, rest = leaf_of(model, written)
        value = {rest: value} if rest else value
        before = flat.get(key, {})
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not before.keys() & value.keys():
            flat[key] = {**before, **value}
        elif isinstance(before, Mapping) is isinstance(value, Mapping) and key in flat:
            problems.add(below, f"duplicate key '{'.'.join(below)}', once dotted and once nested", "duplicate_key")
        elif key in flat:
            conflicts[key] = before if rest else value
        else:
            flat[key] = value
    conflicts |= {key: flat[key] for key in flat if any(other.startswith(f"{key}.") for other in flat)}
    for key, value in conflicts.items():
        problems.add((*path, key), _conflict(".".join((*path, key)), value), "conflict")
        del flat[key]
    return flat


def lay_over(
    model: type[Schema], flat: dict[str, YamlValue], key: str, value: YamlValue, option: str, problems: Problems
) -> list[str]:
    """Put the value of an option over flattened keys, in place, and return the dotted keys that it sets.

    A mapping for a group of keys, as `adapter`, changes those it names; any other value replaces what was there.
    """
    keys = []
    for written, _, part in _leaves(model, {key: value}, ()):
        leaf, rest = leaf_of(model, written)
        try:
            flat[leaf] = nest({"old": flat.get(leaf, {}), f"old.{rest}": part})["old"] if rest else part
        except ConfigError:
            problems.add_option(option, _conflict(leaf, flat[leaf]), "conflict")
        keys.append(leaf)
    return keys


def _leaves(
    model: type[Schema], section: Mapping[Any, YamlValue], path: KeyPath, prefix: str = ""
) -> Iterator[tuple[str, KeyPath, YamlValue]]:
    """Yield dotted key, path in the file and value of everything that is no group of keys itself."""
    for name, value in ((key_text(name), value) for name, value in section.items()):
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and is_section(model, key):
            yield from _leaves(model, value, (*path, name), f"{key}.")
        else:
            yield key, (*path, name), value


def leaf_of(model: type[Schema], written: str) -> tuple[str, str]:
    """Split a key that continues below a field, as `hidden_layers.sst` into `hidden_layers` and `sst`."""
    parts = written.split(".")
    for length in range(1, len(parts)):
        key = ".".join(parts[:length])
        if field_of(model, key) is not None and not is_section(model, key) and "" not in parts:
            return key, ".".join(parts[length:])
    return written, ""


# Which keys there are


def field_of(model: type[Schema], key: str) -> FieldInfo | None:
    """Return the field that a dotted key names, or None."""
    field: FieldInfo | None = None
    section: type[Schema] | None = model
    for part in key.split("."):
        if section is None or part not in section.model_fields:
            return None
        field = section.model_fields[part]
        section = _model_of(field)
    return field


def is_section(model: type[Schema], key: str) -> bool:
    """Whether a dotted key names a group of keys, as `adapter`."""
    field = field_of(model, key)
    return field is not None and _model_of(field) is not None


def leaf_keys(model: type[Schema]) -> list[str]:
    """Return the dotted names of everything that can be set."""
    leaves = []
    for name, field in model.model_fields.items():
        section = _model_of(field)
        leaves += [name] if section is None else [f"{name}.{leaf}" for leaf in leaf_keys(section)]
    return leaves


def unknown_key(model: type[Schema], key: str, prefix: str = "") -> str:
    """Return the message of a key that the model does not have: the nearest right one and its siblings."""
    section, above, rest = model, "", key
    while (field := section.model_fields.get(rest.partition(".")[0])) and (below := _model_of(field)) and "." in rest:
        above, rest, section = f"{above}{rest.partition('.')[0]}.", rest.partition(".")[2], below
    if "" in rest.split(".") or is_number(rest):
        hint = unknown_key_hint(rest, list(section.model_fields), prefix=f"{prefix}{above}")
    else:
        near = [*leaf_keys(model), *model.model_fields]
        hint = unknown_key_hint(key, list(section.model_fields), prefix=prefix, near=near)
    return f"unknown key '{prefix}{key}'{hint}"


def _model_of(field: FieldInfo) -> type[Schema] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Schema) else None


# What they may hold


def add_violations(violations: Iterable[Violation], problems: Problems, path: KeyPath = (), name: str = "") -> bool:
    """Add what pydantic found in the value at a path, each mistake at its own line; return whether there is any."""
    found = list(violations)
    for each in found:
        place, keys = (*path, *map(str, each.place)), (*path, *map(str, each.keys))
        problems.add(place, each.message(name), each.code, key=keys)
    return bool(found)


def add_problems(
    model: type[Schema], key: str, value: YamlValue, path: KeyPath, problems: Problems, *, name: str | None = None
) -> bool:
    """Add what is wrong with a value for a dotted key, each mistake at its own line; return whether anything is.

    Messages call the value by its path in the file, or by `name`.
    """
    return add_violations(_violations(model, key, value), problems, path, ".".join(path) if name is None else name)


def problem_with(model: type[Schema], key: str, value: YamlValue) -> str | None:
    """Return what is wrong with a plain value, as `has 0; must be greater than or equal to 1`, or None."""
    if not (found := _violations(model, key, value)):
        return None
    below = ".".join(map(str, found[0].keys))
    return found[0].message().removeprefix(below).lstrip(": ") if below else found[0].text


def check_section(raw: YamlValue, model: type[Model], path: KeyPath, problems: Problems) -> Model | None:
    """Return a group of keys as its model, or None with its mistakes in `problems`."""
    name = ".".join(path)
    if not isinstance(raw, dict):
        problems.wrong_type(path, raw, f"a mapping with {', '.join(model.model_fields)}")
        return None
    right = True
    for key, value in ((key_text(key), value) for key, value in raw.items()):
        if key not in model.model_fields:
            problems.add((*path, key), unknown_key(model, key, f"{name}." if name else ""), "unknown_key")
            right = False
        elif add_problems(model, key, value, (*path, key), problems):
            right = False
    for key, field in model.model_fields.items():
        if field.is_required() and key not in raw:
            problems.add(path, f"{name} has no {key}", "missing_key", key=(*path, key))
            right = False
    try:
        return model.model_validate(raw) if right else None
    except ValidationError as error:
        add_violations(violations_in(error, model, raw), problems, path, name)
        return None


def normalized(model: type[Schema], key: str, value: YamlValue) -> YamlValue:
    """Return a valid value as its field holds it (16 becomes 16.0 for a float); other lists and mappings stay."""
    if key != "tasks" and isinstance(value, list | dict):
        return value
    return _validate(model, key, value)


def _violations(model: type[Schema], key: str, value: YamlValue) -> Sequence[Violation]:
    if infinite := list(_infinite_in(value)):
        texts = [(keys, f"has {shown(got)}; must be a finite number") for keys, got in infinite]
        return [Violation(keys=keys, kind="value", text=text, code="out_of_bounds") for keys, text in texts]
    if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
        # JSON would turn 1 into '1' unseen.
        text = f"has {shown_briefly(value)}; its keys must be texts"
        return [Violation(keys=(), kind="value", text=text, code="wrong_type")]
    try:
        _validate(model, key, value)
    except ValidationError as error:
        return violations_in(error, _annotation(model, key), value if key == "tasks" else json.loads(_json(value)))
    return ()


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
