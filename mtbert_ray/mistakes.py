"""Says what is wrong with a configuration, a line a mistake, from what pydantic found. Knows no file and no YAML."""

from collections.abc import Collection, Sequence
from types import UnionType
from typing import Union, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mtbert_ray.errors import did_you_mean

Keys = tuple[int | str, ...]


def problems_of(error: ValidationError, where: str, model: type[BaseModel], options: Collection[str] = ()) -> list[str]:
    """Return one line a mistake of a pydantic error: place, what is wrong, what was got, the nearest right name.

    Args:
        error: of the model.
        where: the file, for the place.
        model: what was to be made.
        options: dotted keys that the command line has set; of these it is the place.
    """
    by_keys: dict[Keys, list[ErrorDetails]] = {}
    for detail in error.errors():
        by_keys.setdefault(_without_union_member(detail["loc"], model), []).append(detail)
    problems = []
    for keys, details in by_keys.items():
        if any(other[: len(keys)] == keys != other for other in by_keys):
            continue  # Of a part that is wrong pydantic says besides that the whole is.
        is_unknown = details[0]["type"] == "extra_forbidden"
        key = ".".join(map(str, keys))
        is_option = any(f"{key}.".startswith(f"{o}.") or (is_unknown and o.startswith(f"{key}.")) for o in options)
        told = _unknown(keys, model) if is_unknown else _wrong(key, details)
        problems.append(f"{'--set' if is_option else where}: {told}")
    return problems


def allowed_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the keys that a model allows below a path, or none where the path leaves nested sections."""
    for part in path:
        section = _section(model.model_fields.get(str(part)))
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def _unknown(keys: Keys, model: type[BaseModel]) -> str:
    section = "".join(f"{key}." for key in keys[:-1])
    return f"unknown key '{section}{keys[-1]}'{did_you_mean(keys[-1], allowed_keys(model, keys[:-1]), prefix=section)}"


def _wrong(key: str, details: Sequence[ErrorDetails]) -> str:
    """Return what is wrong with one key; of a union there is one detail a member."""
    got = details[0]["input"]
    names = " or ".join(detail["ctx"]["expected"] for detail in details if detail["type"] in ("literal_error", "enum"))
    near = did_you_mean(got, [name.strip("'") for name in names.replace(" or ", ", ").split(", ")])
    if names and len(details) == 1:
        return f"{key} has {got!r}{near} ({names})"
    messages = " or ".join(dict.fromkeys(detail["msg"].removeprefix("Value error, ") for detail in details))
    shown = "" if isinstance(got, dict) or not key else f", got {got!r}"
    return f"{key + ': ' if key else ''}{messages}{shown}{near}"


def _without_union_member(loc: Keys, model: type[BaseModel]) -> Keys:
    """Return a place without the member of a union, as `int`, which pydantic puts behind the key."""
    for depth, part in enumerate(loc):
        field = model.model_fields.get(str(part))
        if field is not None and get_origin(field.annotation) in (Union, UnionType):
            return (*loc[: depth + 1], *loc[depth + 2 :])
        section = _section(field)
        if section is None:
            break
        model = section
    return loc


def _section(field: FieldInfo | None) -> type[BaseModel] | None:
    annotation = None if field is None else field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
