"""The lines of a journal: an event as JSON, with its number and a checksum at its end; and their order.

Earlier versions wrote the event alone; such lines are still read. A journal may come from anywhere, so that a line
is bounded in length and depth, its numbers are finite, and its texts can be written out again.
"""

import json
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from mtbert_ray.deprecated import current_event, mentions_old_names
from mtbert_ray.errors import shown_briefly
from mtbert_ray.events import Event
from mtbert_ray.mistakes import violations_in

MAX_LINE_BYTES = 1 << 24
MAX_DEPTH = 120
"""Of lists and objects inside each other: those of a search space's YAML (100), and what stands around them."""
_MAX_REASON = 500
"""Characters of what is wrong with a line."""
_MAX_PROBLEMS = 3
"""Of one line that are named."""
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_SEAL = re.compile(rb',"line":(?P<number>[1-9][0-9]{0,17})(?P<seal>,"crc32":"(?P<crc32>[0-9a-f]{8})"\})\Z')


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that was read."""

    event: Event
    number: int | None
    """From 1; none in a journal of an earlier version."""


def as_line(event: Event, number: int) -> bytes:
    """Return the line of an event, with its end.

    Raises:
        ValueError: `line_of` would refuse it.
    """
    line = seal(event.model_dump_json().encode(), number)
    line_of(line)  # What is written must be readable: nothing else tells of the trials.
    return line + b"\n"


def seal(json_object: bytes, number: int) -> bytes:
    """Return a JSON object that is not empty with the number of its line and the checksum of all before it."""
    numbered = json_object[:-1] + f',"line":{number}'.encode()
    return numbered + f',"crc32":"{zlib.crc32(numbered):08x}"}}'.encode()


def line_of(text: bytes) -> Line:
    """Return a line, given without its end.

    Raises:
        ValueError: it is no event, or not as it was written; the message says why.
    """
    text = text.removesuffix(b"\r")  # Of a copy that went through Windows.
    if len(text) > MAX_LINE_BYTES:
        raise ValueError(f"it has {len(text)} bytes; must have at most {MAX_LINE_BYTES}")
    found = _SEAL.search(text)
    if found is not None and zlib.crc32(text[: found.start("seal")]) != int(found["crc32"], 16):
        raise ValueError("its checksum is that of another text")
    content = _json_of(text)
    if not isinstance(content, dict):
        raise ValueError(f"must be a mapping, got {shown_briefly(content)}")
    if found is not None:
        del content["line"], content["crc32"]
    elif content.keys() & {"line", "crc32"}:
        raise ValueError("its number and checksum are damaged")
    try:
        event = _EVENT.validate_python(current_event(content) if mentions_old_names(text) else content)
    except ValidationError as error:
        raise ValueError(_reason(error, content)) from None
    return Line(event=event, number=None if found is None else int(found["number"]))


def _reason(error: ValidationError, content: Mapping[str, Any]) -> str:
    found = [violation.message() for violation in violations_in(error, Event, content)]
    more = f"; {len(found) - _MAX_PROBLEMS} more" if len(found) > _MAX_PROBLEMS else ""
    text = "; ".join(found[:_MAX_PROBLEMS])
    return (text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}...") + more


def _json_of(text: bytes) -> Any:  # noqa: ANN401  # any JSON
    try:
        content = _DECODER.decode(text.decode())
    except RecursionError:
        raise _too_deep() from None
    _check_values(content)
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of a journal; one that is not finite is null there")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Interned, as the names of metrics and of a config's keys stand in every line.
    content = {sys.intern(key): value for key, value in pairs}
    if len(content) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {shown_briefly(twice)} stands there twice")
    return content


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_doubles)


def _too_deep() -> ValueError:
    return ValueError(f"lists and mappings stand inside each other more than {MAX_DEPTH} deep")


def _check_values(content: Any) -> None:  # noqa: ANN401  # any JSON
    """Raise a ValueError for a number that is not finite or absurdly large, half a character, and too much depth."""
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)  # Of what a JSON decoder makes; matching by class takes three times as long.
            if kind is str:
                if not value.isascii():
                    _check_text(value)
            elif kind is float:
                if not math.isfinite(value):
                    raise ValueError("a number is too large; must be finite")
            elif kind is dict:
                below.extend(value)
                below.extend(value.values())
            elif kind is list:
                below.extend(value)
            elif kind is int and abs(value) > sys.float_info.max:
                raise ValueError("a whole number is too large; must be finite as a float")
        if not below:
            return
        level = below
    raise _too_deep()


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"half a surrogate pair, which is no character: {shown_briefly(text)}") from None


class LineOrder:
    """Follows the numbers of a journal's lines."""

    def __init__(self) -> None:
        self._next = 1
        self._num_skipped = 0
        """Since the last line that was read."""
        self._is_numbered = False
        self._texts: set[bytes] = set()
        """Lines without a number, which are the same only where one stands there twice: each has its time."""

    def skip(self) -> None:
        """Pass over a line that cannot be read."""
        self._num_skipped += 1

    def take(self, line: Line, text: bytes) -> tuple[str | None, bool]:
        """Return what is wrong with the place of a line, if anything, and whether it is news."""
        number, skipped = line.number, self._num_skipped
        if number is None:
            if self._is_numbered:
                return "has no number, which the lines before it have", False
            if text in self._texts:
                return "stands there twice", False
            self._texts.add(text)
            self._next, self._num_skipped = self._next + skipped + 1, 0
            return None, True
        if number < self._next:
            return f"is line {number}, which stands there twice or later than it should", False
        first, self._is_numbered = self._next, True
        self._next, self._num_skipped = number + 1, 0
        if number - first <= skipped:  # Fewer, where a line break was put into a line.
            return None, True
        missing = f"line {first} is" if number - first == 1 else f"lines {first} to {number - 1} are"
        return f"is line {number}: {missing} missing before it", True


def whole_lines(content: bytes) -> bytes:
    """Return all but a last line that has no end or is no event."""
    whole = content[: content.rfind(b"\n") + 1]
    if whole == content:
        before = content.rfind(b"\n", 0, -1) + 1
        try:
            line_of(content[before:-1])
        except ValueError:
            return content[:before]
    return whole


def lines_of(content: bytes, damaged: Callable[[int, str], None]) -> Iterator[tuple[int, Event]]:
    """Yield the places, from 1, and events of whole lines; `damaged` hears of the place and problem of the others."""
    order = LineOrder()
    # Not splitlines: JSON leaves line separators such as U+2028 in a text as they are.
    for place, text in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = line_of(text)
        except ValueError as error:
            order.skip()
            damaged(place, f"not an event of a sweep: {error}")
            continue
        problem, is_new = order.take(line, text)
        if problem:
            damaged(place, problem)
        if is_new:
            yield place, line.event


def num_lines(path: Path) -> int:
    """Return the number of whole lines in a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
