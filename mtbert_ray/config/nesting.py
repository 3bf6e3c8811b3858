"""Dotted keys and nested dicts: `{"adapter.rank": 8}` and `{"adapter": {"rank": 8}}`. Knows no configuration."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtbert_ray.errors import ConfigError
from mtbert_ray.schema import key_text

KeyPath = tuple[str, ...]
"""Keys from the top down."""
PlaceOf = Callable[[KeyPath], str]
"""Keys from the top down -> `file:line`, for a message."""
Split = Callable[[KeyPath, str], Sequence[str]]
"""(where a mapping stands, one of its keys) -> the parts of the key: a dot may belong to a name, as in `Web 2.0`."""


def at_every_dot(path: KeyPath, key: str) -> list[str]:
    """Take every dot of a key for one between two keys, wherever it stands."""
    return key.split(".")


def nest(dotted: Mapping[str, Any], place_of: PlaceOf | None = None, *, split: Split = at_every_dot) -> dict[str, Any]:
    """Turn dotted keys into nested dicts: `{"adapter.rank": 8}` into `{"adapter": {"rank": 8}}`.

    Plain keys with mappings are merged with dotted ones: `{"adapter": {"kind": "lora"}, "adapter.rank": 8}`. Of the
    same key written both ways the later one counts.

    Args:
        dotted: as read.
        place_of: tells where a key stands, for a message.
        split: takes keys apart.

    Raises:
        ConfigError: a key has a value and keys below it: `{"adapter": 3, "adapter.rank": 8}`.
    """
    return lay_over({}, dotted, place_of, split=split)


def lay_over(
    nested: dict[str, Any], dotted: Mapping[str, Any], place_of: PlaceOf | None, *, split: Split = at_every_dot
) -> dict[str, Any]:
    """Put dotted keys into nested dicts, in place, and return these. Arguments and errors as of `nest`."""
    conflicts: dict[KeyPath, object] = {}
    _put_all(nested, dotted, (), split, conflicts)
    if conflicts:
        problems = []
        for path, value in conflicts.items():
            place = "" if place_of is None else f"{place_of(path)}: "
            problems.append(f"{place}'{'.'.join(path)}' has the value {value!r} and keys below it; keep one of the two")
        raise ConfigError(problems)
    return nested


def _put_all(
    target: dict[str, Any], dotted: Mapping[Any, Any], path: KeyPath, split: Split, conflicts: dict[KeyPath, object]
) -> None:
    for key, value in dotted.items():
        # A key that is no text, as 3, is none of ours: as a text it is refused like other unknown ones.
        *parents, leaf = split(path, key_text(key))
        place, below = path, target
        for parent in parents:
            place = (*place, parent)
            below = _section(below, place, conflicts)
        place = (*place, leaf)
        if isinstance(value, Mapping):
            _put_all(_section(below, place, conflicts), value, place, split, conflicts)
        elif isinstance(below.get(leaf), dict):
            conflicts[place] = value
        else:
            below[leaf] = value


def _section(target: dict[str, Any], place: KeyPath, conflicts: dict[KeyPath, object]) -> dict[str, Any]:
    section = target.setdefault(place[-1], {})
    if isinstance(section, dict):
        return section
    conflicts[place] = section
    return {}


def dotted(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested dicts into dotted keys, the other way round; a list is one value, an empty dict none."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        below = {f"{key}.{name}": part for name, part in dotted(value).items()} if isinstance(value, Mapping) else None
        flat |= {key: value} if below is None else below
    return flat
