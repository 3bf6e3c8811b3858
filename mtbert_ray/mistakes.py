"""Says what is wrong with a configuration, a line a mistake, from what pydantic found. Knows no file and no YAML."""

import ast
import re
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtbert_ray.errors import did_you_mean
from mtbert_ray.schema import is_number, key_text
from mtbert_ray.wanted import sentence_of, wanted

Keys = tuple[int | str, ...]
"""From the top of what was checked down: `("tasks", 1, "source", "dev")`."""

MAX_SHOWN = 160
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One wrong value, key, or rule between keys."""

    keys: Keys
    """Where; of a missing key where it should be."""
    kind: Literal["value", "missing", "unknown", "sentence"]
    text: str
    """Behind the name of the key: `has 0; must be greater than or equal to 1`. Of a `sentence` all there is to say."""
    allowed: tuple[str, ...] = ()
    """Of an unknown key: the right ones in its place."""

    @property
    def place(self) -> Keys:
        """The keys whose line it is said for: a missing key has none of its own."""
        return self.keys[:-1] if self.kind == "missing" else self.keys

    def said(self, name: str = "") -> str:
        """Return the whole message.

        Args:
            name: dotted, of what was checked; empty for a whole file.
        """
        parts = [*([name] if name else []), *map(str, self.keys)]
        key, section = ".".join(parts), ".".join(parts[:-1])
        match self.kind:
            case "value":
                return f"{key} {self.text}".strip()
            case "missing":
                return f"{section} has no {self.keys[-1]}{self.text}" if section else f"missing key '{key}'{self.text}"
            case "unknown":
                hint = unknown_key(str(self.keys[-1]), self.allowed, prefix=f"{section}." if section else "")
                return f"unknown key '{key}'{hint}"
            case "sentence":
                return f"{key}: {self.text}" if key else self.text


def problems_of(
    error: ValidationError, where: str, model: type[BaseModel], content: object, *, name: str = ""
) -> list[str]:
    """Return one line a mistake of a pydantic error: place, what is wrong, what was got, the nearest right name.

    Args:
        error: of the model.
        where: the file, for the place.
        model: what was to be made.
        content: what it was to be made of.
        name: dotted, of the key that holds it; empty for a whole file.
    """
    return [f"{where}: {mistake.said(name)}" for mistake in mistakes_in(error, model, content)]


def mistakes_in(error: ValidationError, annotation: object, content: object = None) -> list[Mistake]:
    """Return the mistakes of a pydantic error, the keys as the user wrote them.

    Args:
        error: of validating `content`.
        annotation: the type, or model, that it was held against.
        content: what was validated; none takes the keys as pydantic has them.
    """
    by_keys: dict[Keys, list[ErrorDetails]] = {}
    for detail in error.errors():
        by_keys.setdefault(_keys_in(content, detail), []).append(detail)
    found = []
    for keys, details in by_keys.items():
        if any(other[: len(keys)] == keys != other for other in by_keys):
            continue  # Of a part that is wrong pydantic says besides that the whole is.
        found.append(_mistake(keys, details, annotation, content))
    return found


def allowed_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the keys that a model allows below a path, or none where the path leaves nested sections."""
    for part in path:
        field = model.model_fields.get(str(part))
        annotation = None if field is None else field.annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def shown(value: object) -> str:
    """Return a value as YAML would have it."""
    if isinstance(value, str):
        return f"'{''.join(char if char.isprintable() else _escaped(char) for char in value)}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key_text(key)}: {shown(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def shown_briefly(value: object) -> str:
    """Return a wrong value as YAML would have it, cut where it is long."""
    text = shown(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def unknown_key(key: str, allowed: Sequence[str], *, prefix: str = "", near: Sequence[str] = ()) -> str:
    """Return what to say behind an unknown key: the nearest right one, and those that there are.

    Args:
        key: as written, without what it stands in.
        allowed: the right keys beside it.
        prefix: what the key stands in, dotted, with a dot at its end.
        near: more names that may be meant, as dotted ones.
    """
    if "" in (parts := key.split(".")):
        named = ".".join(filter(None, parts))
        hint = f": a part of it is empty; write '{prefix}{named}'" if named else ": a key needs a name"
    elif is_number(key):
        hint = ": a number, and keys are names"
    else:
        hint = did_you_mean(key, near or allowed, prefix=prefix)
    if not hint and (joined := key.partition(":"))[1] and joined[0] in allowed:
        hint = f"; the colon needs a space behind it: '{joined[0]}: {joined[2]}'"
    return f"{hint} ({', '.join(allowed)})" if allowed else hint


# Where


def _keys_in(content: object, detail: ErrorDetails) -> Keys:
    """Return the place of a mistake in what the user wrote.

    Pydantic puts the member of a union that it tried, as `int` or a tag, among the keys; what does not lead further
    down in the content is taken for one.
    """
    loc, kind = detail["loc"], detail["type"]
    if content is None:
        return loc
    last: Keys = loc[-1:] if kind in ("missing", "invalid_key") else ()
    paths = list(_paths(content, loc[: len(loc) - len(last)]))
    if kind == "missing" and isinstance(loc[-1], int):  # An item of a list that must have so many.
        fitting = [keys for keys, reached in paths if isinstance(reached, list | tuple)]
    elif kind == "missing":
        fitting = [keys for keys, reached in paths if isinstance(reached, Mapping) and loc[-1] not in reached]
    elif kind == "extra_forbidden":
        fitting = [keys for keys, _ in paths if keys[-1:] == loc[-1:]]
    else:
        fitting = [keys for keys, reached in paths if _is_same(reached, detail["input"])]
    return (*(fitting or [keys for keys, _ in paths])[0], *last)


def _is_same(one: object, other: object) -> bool:
    return type(one) is type(other) and (one is other or one == other)


def _paths(content: object, loc: Keys) -> Iterator[tuple[Keys, object]]:
    """Yield the ways down by these parts of a place, longest first, with what is at their end."""
    if not loc:
        yield (), content
        return
    for key, below in _below(content, loc[0]):
        for keys, reached in _paths(below, loc[1:]):
            yield (key, *keys), reached
    yield from _paths(content, loc[1:])


def _below(content: object, part: int | str) -> Iterator[tuple[int | str, object]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key_text(key) == str(part):
                yield key_text(key), value
                return
    elif isinstance(content, list | tuple) and isinstance(part, int) and part < len(content):
        yield part, content[part]
    elif isinstance(content, BaseModel) and part in type(content).model_fields:
        yield part, getattr(content, str(part))


def _models_at(annotation: object, content: object, keys: Keys) -> list[type[BaseModel]]:
    """Return the models that may hold the keys below a place, the one first that has most of those given."""
    models = _models(annotation, content)
    if not keys:
        return models
    below = next((value for _, value in _below(content, keys[0])), None)
    fields = [model.model_fields[str(keys[0])] for model in models if str(keys[0]) in model.model_fields]
    found = [model for field in fields for model in _models_at(field.annotation, below, keys[1:])]
    if found or isinstance(annotation, type):
        return found
    is_item = get_origin(annotation) not in (Annotated, Union, types.UnionType)
    for argument in get_args(annotation):
        found += _models_at(argument, below, keys[1:]) if is_item else _models_at(argument, content, keys)
    return found


def _models(annotation: object, content: object) -> list[type[BaseModel]]:
    """Return the models that a type allows, the one first that has most of the content's keys."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) not in (Annotated, Union, types.UnionType):
        return []
    models = [model for argument in get_args(annotation) for model in _models(argument, content)]
    given = Counter(map(key_text, content)) if isinstance(content, Mapping) else Counter()
    return sorted(models, key=lambda model: -sum(given[name] for name in model.model_fields))


# What


def _mistake(keys: Keys, details: Sequence[ErrorDetails], annotation: object, content: object) -> Mistake:
    first = details[0]
    if first["type"] == "extra_forbidden":
        models = _models_at(annotation, content, keys[:-1])
        allowed = next((tuple(model.model_fields) for model in models if keys[-1] not in model.model_fields), ())
        return Mistake(keys=keys, kind="unknown", text="", allowed=allowed)
    if first["type"] == "json_invalid":
        return Mistake(keys=keys, kind="sentence", text=sentence_of(first))
    if first["type"] == "missing":
        if isinstance(keys[-1], int):  # Of a list that must have so many items.
            return Mistake(
                keys=keys[:-1], kind="value", text=f"has {shown_briefly(first['input'])}; {_needs_items(details)}"
            )
        return Mistake(keys=keys, kind="missing", text="")
    got = first["input"]
    if first["type"] in ("kind_of_source", "union_tag_invalid") and isinstance(got, Mapping) and "kind" in got:
        kinds = [str(model.model_fields["kind"].default) for model in _models_at(annotation, content, keys)]
        text = f"has {shown_briefly(got['kind'])}{did_you_mean(got['kind'], kinds)} ({', '.join(kinds)})"
        return Mistake(keys=(*keys, "kind"), kind="value", text=text)
    sentences = [sentence_of(detail) for detail in details if detail["type"] in ("value_error", "assertion_error")]
    if sentences and not sentences[0].startswith(("must ", "has ")):
        return _of_a_rule(keys, sentences[0], annotation, got, content)
    if sentences and sentences[0].startswith("has "):
        return Mistake(keys=keys, kind="value", text=sentences[0])
    if first["type"] == "invalid_key":
        return Mistake(keys=keys[:-1], kind="value", text=f"has the key {keys[-1]}; its keys must be texts")
    return Mistake(keys=keys, kind="value", text=_wrong_value(got, details))


def _needs_items(details: Sequence[ErrorDetails]) -> str:
    return f"must have {max(int(detail['loc'][-1]) for detail in details) + 1} items"


def _of_a_rule(keys: Keys, sentence: str, annotation: object, got: object, content: object) -> Mistake:
    """Return a rule between keys that is broken; one that begins with the name of a key is said of that key."""
    subject, space, rest = sentence.partition(" ")
    if keys and subject == keys[-1]:
        return Mistake(keys=keys, kind="value", text=rest)
    fields = [name for model in _models_at(annotation, content, keys) for name in model.model_fields]
    parts = tuple(int(part) if part.isdecimal() else part for part in subject.split("."))
    is_key = space and parts[0] in fields
    # In an item of a list, a rule about a key that is not given is said of the item.
    is_given = isinstance(got, Mapping) and parts[0] in got
    if is_key and (is_given or not any(isinstance(key, int) for key in keys)):
        return Mistake(keys=(*keys, *parts), kind="value", text=rest)
    return Mistake(keys=keys, kind="sentence", text=sentence)


def _wrong_value(got: object, details: Sequence[ErrorDetails]) -> str:
    """Return what is wrong with one value; of a union there is one detail a member."""
    named = [detail for detail in details if detail["type"] in ("literal_error", "enum")]
    names = [name for detail in named for name in _names(detail["ctx"]["expected"])]
    others = list(dict.fromkeys(wanted(detail) for detail in details if detail not in named))
    if names:
        if not isinstance(got, str):
            expected = [f"must be {_one_of(_names(detail['ctx']['expected']))}" for detail in named]
            return f"has {shown_briefly(got)}; {_joined([*others, *expected])}"
        near = did_you_mean(got, names)
        return f"has {shown_briefly(got)}{near} ({', '.join((*names, *(o.removeprefix('must be ') for o in others)))})"
    return f"has {shown_briefly(got)}; {_joined(others)}"


def _joined(wants: Sequence[str]) -> str:
    """Return `must be a number or a mapping` of `must be a number` and `must be a mapping`."""
    return " or ".join([wants[0], *(want.removeprefix("must be ") for want in wants[1:])])


def _one_of(names: Sequence[str]) -> str:
    *others, last = map(shown, names)
    return f"{', '.join(others)} or {last}" if others else last


def _names(expected: str) -> list[str]:
    """Return the names in pydantic's `'a', 'b' or 'c'`."""
    return [ast.literal_eval(name) for name in _QUOTED.findall(expected)]


_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
