"""Turns the errors of pydantic into mistakes that a user understands: which key, what is wrong, what is allowed."""

import ast
import re
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtbert_ray.errors import Mistake, did_you_mean, key_text, shown_briefly, unknown_key_hint

Keys = tuple[int | str, ...]
"""From the top of what was checked down: `("tasks", 1, "source", "dev")`."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One wrong value, key, or rule between keys."""

    keys: Keys
    """Of a missing key where it should be."""
    kind: Literal["value", "missing", "unknown", "sentence"]
    text: str = ""
    """Behind the name of the key: `has 0; must be greater than or equal to 1`. Of a `sentence` the whole message."""
    code: str = "invalid"
    """Of the `Mistake`."""
    allowed: tuple[str, ...] = ()
    """Of an unknown key: the right ones in its place."""

    @property
    def place(self) -> Keys:
        """The keys whose line is named: a missing key has none of its own."""
        return self.keys[:-1] if self.kind == "missing" else self.keys

    def message(self, name: str = "") -> str:
        """Return the whole message; `name` is the dotted name of what was checked, empty for a whole file."""
        parts = [*([name] if name else []), *map(str, self.keys)]
        key, section = ".".join(parts), ".".join(parts[:-1])
        match self.kind:
            case "value":
                return f"{key} {self.text}".strip()
            case "missing":
                return f"{section} has no {self.keys[-1]}" if section else f"missing key '{key}'"
            case "unknown":
                hint = unknown_key_hint(str(self.keys[-1]), self.allowed, prefix=f"{section}." if section else "")
                return f"unknown key '{key}'{hint}"
            case "sentence":
                return f"{key}: {self.text}" if key else self.text


def problems_of(error: ValidationError, where: str, model: type[BaseModel], content: object) -> list[Mistake]:
    """Return one line a mistake of making `content` a model, with `where`, as the file, in front."""
    return [
        Mistake(f"{where}: {each.message()}", code=each.code, place=where, key=".".join(map(str, each.keys)))
        for each in violations_in(error, model, content)
    ]


def violations_in(error: ValidationError, annotation: object, content: object = None) -> list[Violation]:
    """Return what a pydantic error found, its keys as the user wrote them in the content."""
    by_keys: dict[Keys, list[ErrorDetails]] = {}
    for detail in error.errors():
        by_keys.setdefault(_keys_in(content, detail), []).append(detail)
    found = []
    for keys, details in by_keys.items():
        if any(other[: len(keys)] == keys != other for other in by_keys):
            continue  # Of a wrong part pydantic reports the whole as well.
        found.append(_violation(keys, details, annotation, content))
    return found


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
        got = detail["input"]
        fitting = [keys for keys, there in paths if there is got or (type(there) is type(got) and there == got)]
    return (*(fitting or [keys for keys, _ in paths])[0], *last)


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


def _violation(keys: Keys, details: Sequence[ErrorDetails], annotation: object, content: object) -> Violation:
    first = details[0]
    got, kind = first["input"], first["type"]
    if kind == "extra_forbidden":
        models = _models_at(annotation, content, keys[:-1])
        allowed = next((tuple(model.model_fields) for model in models if keys[-1] not in model.model_fields), ())
        return Violation(keys=keys, kind="unknown", code="unknown_key", allowed=allowed)
    if kind == "json_invalid":
        return Violation(keys=keys, kind="sentence", text=_sentence_of(first))
    if kind == "missing":
        if isinstance(keys[-1], int):  # Of a list that must have so many items.
            num_items = max(int(detail["loc"][-1]) for detail in details) + 1
            text = f"has {shown_briefly(got)}; must have {num_items} items"
            return Violation(keys=keys[:-1], kind="value", text=text, code="out_of_bounds")
        return Violation(keys=keys, kind="missing", code="missing_key")
    tag = str(first.get("ctx", {}).get("discriminator", "kind")).strip("'")  # Of events `event`.
    if kind == "union_tag_not_found":
        return Violation(keys=(*keys, tag), kind="missing", code="missing_key")
    if kind in ("kind_of_source", "union_tag_invalid") and isinstance(got, Mapping) and tag in got:
        fields = [model.model_fields[tag] for model in _models_at(annotation, content, keys)]
        kinds = [str(name) for field in fields for name in get_args(field.annotation)]
        text = f"has {shown_briefly(got[tag])}{did_you_mean(got[tag], kinds)} ({', '.join(kinds)})"
        return Violation(keys=(*keys, tag), kind="value", text=text, code="not_allowed")
    sentences = [_sentence_of(detail) for detail in details if detail["type"] in ("value_error", "assertion_error")]
    if sentences and not sentences[0].startswith(("must ", "has ")):
        return _of_a_rule(keys, sentences[0], annotation, got, content)
    if sentences and sentences[0].startswith("has "):
        return Violation(keys=keys, kind="value", text=sentences[0])
    if kind == "invalid_key":
        text = f"has the key {keys[-1]}; its keys must be texts"
        return Violation(keys=keys[:-1], kind="value", text=text, code="wrong_type")
    return Violation(keys=keys, kind="value", text=_wrong_value(got, details), code=_code(details))


def _code(details: Sequence[ErrorDetails]) -> str:
    kinds = {detail["type"] for detail in details}
    if kinds & {"literal_error", "enum"}:
        return "not_allowed"
    if kinds & {*_BOUNDS, *_COUNTED, "finite_number"}:
        return "out_of_bounds"
    return "wrong_type" if kinds & _WANTED.keys() else "invalid"


def _of_a_rule(keys: Keys, sentence: str, annotation: object, got: object, content: object) -> Violation:
    """Return a rule between keys that is broken; one that begins with the name of a key is a mistake of that key."""
    subject, space, rest = sentence.partition(" ")
    if keys and subject == keys[-1]:
        return Violation(keys=keys, kind="value", text=rest)
    fields = [name for model in _models_at(annotation, content, keys) for name in model.model_fields]
    parts = tuple(int(part) if part.isdecimal() else part for part in subject.split("."))
    is_key = space and parts[0] in fields
    # In an item of a list, a rule about a key that is not given is a mistake of the item.
    is_given = isinstance(got, Mapping) and parts[0] in got
    if is_key and (is_given or not any(isinstance(key, int) for key in keys)):
        return Violation(keys=(*keys, *parts), kind="value", text=rest)
    return Violation(keys=keys, kind="sentence", text=sentence)


def _wrong_value(got: object, details: Sequence[ErrorDetails]) -> str:
    """Return what is wrong with one value; of a union there is one detail a member."""
    named = [detail for detail in details if detail["type"] in ("literal_error", "enum")]
    names = [name for detail in named for name in _names(detail["ctx"]["expected"])]
    others = list(dict.fromkeys(_wanted(detail) for detail in details if detail not in named))
    if names:
        if not isinstance(got, str):
            expected = [f"must be {detail['ctx']['expected']}" for detail in named]
            return f"has {shown_briefly(got)}; {_joined([*others, *expected])}"
        near = did_you_mean(got, names)
        return f"has {shown_briefly(got)}{near} ({', '.join((*names, *(o.removeprefix('must be ') for o in others)))})"
    return f"has {shown_briefly(got)}; {_joined(others)}"


def _joined(wants: Sequence[str]) -> str:
    """Return `must be a number or a mapping` of `must be a number` and `must be a mapping`."""
    return " or ".join([wants[0], *(want.removeprefix("must be ") for want in wants[1:])])


def _names(expected: str) -> list[str]:
    """Return the names in pydantic's `'a', 'b' or 'c'`."""
    return [ast.literal_eval(name) for name in _QUOTED.findall(expected)]


_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def _sentence_of(detail: ErrorDetails) -> str:
    """Return the message of a validator of ours."""
    return detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _wanted(detail: ErrorDetails) -> str:
    """Return what a value must be, as `must be a whole number`, in the place of pydantic's words."""
    kind = detail["type"]
    if kind in _WANTED:
        is_huge = _WANTED[kind] in ("must be a whole number", "must be a number") and _is_huge(detail["input"])
        return _WANTED[kind].replace("a ", "a smaller ") if is_huge else _WANTED[kind]
    if kind in _COUNTED:
        key, bound, unit = _COUNTED[kind]
        count = detail["ctx"][key]
        if kind == "string_too_short" and count == 1:
            return "must not be empty"
        return f"must have {bound} {count} {unit}{'' if count == 1 else 's'}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = detail["ctx"][key]
        is_whole = isinstance(bound, int) or (bound.is_integer() and abs(bound) < 1e15)
        return f"must be {words} {int(bound) if is_whole else f'{bound:g}'}"
    return _sentence_of(detail).replace("Input should be", "must be")


def _is_huge(got: object) -> bool:
    """Whether a number is too large to be a float (of integers), or to be known as whole (of floats)."""
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    return abs(got) >= (2**1023 if isinstance(got, int) else 2.0**63)


_WANTED = {
    kind: f"must be {wanted}"
    for wanted, kinds in {
        "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        "a number": ("float_type", "float_parsing"),
        "a finite number": ("finite_number",),
        "a text": ("string_type", "string_sub_type", "string_unicode"),
        "true or false": ("bool_type", "bool_parsing"),
        "a list": ("tuple_type", "list_type", "set_type", "frozen_set_type"),
        "a mapping": ("dict_type", "model_type", "model_attributes_type", "mapping_type", "dataclass_type"),
        "null": ("none_required",),
    }.items()
    for kind in kinds
} | {"recursion_loop": "must not contain itself"}
"""Type of pydantic's error -> what the value must be."""

_COUNTED = {
    "too_short": ("min_length", "at least", "item"),
    "too_long": ("max_length", "at most", "item"),
    "string_too_short": ("min_length", "at least", "character"),
    "string_too_long": ("max_length", "at most", "character"),
}

_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "greater than or equal to"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "less than or equal to"),
}
