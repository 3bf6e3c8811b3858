"""Puts errors of the YAML parser into plain words, with the line where the mistake probably is.

The parser notices most mistakes later than where they were made, and names them in its own terms.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError, StringMark
from ruamel.yaml.reader import ReaderError

_NO_FIT = "the line's indentation fits none of those above; keys that belong together begin in the same column"
_MAX_QUOTED = 80
"""Characters of a line that a message shows."""


@dataclass(frozen=True, kw_only=True)
class SyntaxMistake:
    """A mistake and its place, both counted from 1."""

    line: int
    column: int
    message: str
    quoted: str
    """The line, in backticks; empty where it has nothing to show."""


@dataclass(frozen=True)
class _Spot:
    """Where the parser was when it gave up, from 0, and its message."""

    lines: list[str]
    line: int
    column: int
    problem: str
    context: tuple[int, int] | None
    """Where that began which it was reading."""

    @property
    def text(self) -> str:
        return self.lines[self.line] if self.line < len(self.lines) else ""

    @property
    def char(self) -> str:
        return self.text[self.column : self.column + 1]


_Found = tuple[int, int, str]
"""Line and column from 0, message."""


def syntax_mistake(text: str, error: Exception) -> SyntaxMistake:
    """Return an error of the YAML parser, or a RecursionError of a deeply nested text, in plain words."""
    lines = text.splitlines()
    line, column, message = _found(lines, text, error)
    line = max(0, min(line, len(lines) - 1))
    quoted = lines[line].strip() if lines else ""
    shown = "".join(char if char.isprintable() else " " if char == "\t" else "?" for char in cut(quoted))
    return SyntaxMistake(line=line + 1, column=column + 1, message=message, quoted=f"`{shown}`" if shown else "")


def cut(text: str) -> str:
    """Return the start of a text that is too long for a message."""
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def _found(lines: list[str], text: str, error: Exception) -> _Found:
    if isinstance(error, RecursionError):
        return 0, 0, "lists and mappings stand inside each other too deeply to be read"
    if isinstance(error, ReaderError):
        position = text.find(chr(error.character)) if isinstance(error.character, int) else -1
        before = text[: max(position, 0)]
        place = (before.count("\n"), len(before) - before.rfind("\n") - 1)
        return *place, "an invisible control character stands here; take it out"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if not isinstance(error, MarkedYAMLError) or not isinstance(mark, StringMark):
        return 0, 0, "this cannot be read as YAML"
    context = error.context_mark
    spot = _Spot(
        lines,
        mark.line,
        mark.column,
        str(error.problem or error.context),
        (context.line, context.column) if isinstance(context, StringMark) else None,
    )
    for pattern, message in _MESSAGES:
        if re.search(pattern, f"{spot.problem} {error.context or ''}"):
            return (spot.line, spot.column, message) if isinstance(message, str) else message(spot)
    return spot.line, spot.column, "this cannot be read as YAML"


def _cannot_start(spot: _Spot) -> _Found:
    if spot.char != "\t":
        return spot.line, spot.column, f"a value that begins with '{spot.char}' must stand in quotes"
    if spot.text[: spot.column].strip():
        return spot.line, spot.column, "a tab stands inside the line; use spaces"
    return spot.line, spot.column, "the line is indented with a tab; use spaces"


def _mapping_not_allowed(spot: _Spot) -> _Found:
    """A second colon in a line, or a line that was read as a part of the value above it."""
    before = re.search(r":\s", spot.text[: spot.column])
    if before is not None:
        column = before.end() + len(spot.text[before.end() :]) - len(spot.text[before.end() :].lstrip())
        return spot.line, column, "a value that holds ': ' must stand in quotes"
    above = next((number for number in range(spot.line - 1, -1, -1) if _content(spot.lines[number])), None)
    if above is not None and _indent(spot.lines[above]) == _indent(spot.text):
        return _no_colon(spot.lines, above)
    return (
        spot.line,
        _indent(spot.text),
        "the line is indented more than it may be; keys that belong together begin in the same column, and a key "
        "with a value has none below it",
    )


def _no_colon(lines: list[str], line: int) -> _Found:
    text = _content(lines[line])
    column = _indent(lines[line])
    if re.match(r"-\S", text):
        return line, column, f"'-' needs a space behind it: '- {text[1:]}'"
    joined = re.match(r"([\w.-]+):(\S.*)", text)
    if joined:
        return line, column, f"the colon needs a space behind it: '{joined[1]}: {joined[2]}'"
    equals = re.match(r"([\w.-]+)\s*=\s*(.*)", text)
    if equals:
        return line, column, f"a key and its value are parted by a colon: '{equals[1]}: {equals[2]}'"
    words = text.split(maxsplit=1)
    example = f": '{words[0]}: {words[1]}'" if len(words) == 2 else ""
    return line, column, f"a colon and a space must stand between a key and its value{example}"


def _simple_key(spot: _Spot) -> _Found:
    line, _ = spot.context or (spot.line, spot.column)
    return _no_colon(spot.lines, min(line, len(spot.lines) - 1))


def _block_end(spot: _Spot) -> _Found:
    """Something stands where only a sibling could: after a quoted value, after a bracket, or wrongly indented."""
    if "<scalar>" in spot.problem or "<alias>" in spot.problem:
        opened = _open_quote(spot)
        if opened is not None:
            return *opened, "the quote that opens here is not closed on its line"
        return (
            spot.line,
            spot.column,
            "text follows a value that has ended; put the whole value into one pair of quotes",
        )
    if spot.char in "]}" and spot.char:
        return spot.line, spot.column, f"'{spot.char}' closes a bracket that is not open"
    if spot.char == "," and spot.text[: spot.column].strip():
        return spot.line, spot.column, "a comma follows a value that has ended; put the whole value into quotes"
    if spot.text.lstrip().startswith("- "):
        return spot.line, spot.column, "an item of a list ('- ') stands where a key is due; keep to one of the two"
    in_list = spot.context is not None and spot.lines[spot.context[0]].lstrip().startswith("-")
    if in_list and "'?'" in spot.problem:
        return spot.line, spot.column, "a key stands where the next item of the list ('- ') is due"
    return spot.line, spot.column, _NO_FIT


def _open_quote(spot: _Spot) -> tuple[int, int] | None:
    """Return where a quoted value begins that continues on later lines, up to a quote meant to open another."""
    for number in range(spot.line - 1, -1, -1):
        found = re.search(r"(?:^|[:,\[{-])\s*(['\"])(?:(?!\1).)*$", spot.lines[number])
        if found:
            return number, found.start(1)
    return None


def _flow(spot: _Spot) -> _Found:
    """A bracket that is not closed, or a comma that is missing inside one."""
    line, column = spot.context or (spot.line, spot.column)
    opening = spot.lines[line][column : column + 1] if line < len(spot.lines) else "["
    closing = {"{": "}", "[": "]"}.get(opening, "]")
    if spot.line > line or "<stream end>" in spot.problem or spot.char in "]}":
        return line, column, f"the '{opening}' that opens here is not closed by a '{closing}'"
    if spot.char == ":" and opening == "[":
        return spot.line, spot.column, "a list in [ ] holds a key with a value; put these into { }"
    return spot.line, spot.column, f"a ',' is missing in front of this, or a '{closing}'"


def _no_value(spot: _Spot) -> _Found:
    """Nothing where a value is due: two commas, or a bracket at the end of the text."""
    if "<stream end>" not in spot.problem:
        return spot.line, spot.column, f"a value is missing in front of '{spot.char}'"
    for number in range(len(spot.lines) - 1, -1, -1):
        for column in range(len(spot.lines[number]) - 1, -1, -1):
            if spot.lines[number][column] in "[{":
                opening = spot.lines[number][column]
                closing = "}" if opening == "{" else "]"
                return number, column, f"the '{opening}' that opens here is not closed by a '{closing}'"
    return spot.line, spot.column, "a value is missing at the end"


def _second_document(spot: _Spot) -> _Found:
    """More than one document, or a line that is read as the start of one."""
    if spot.text.startswith("---"):
        return spot.line, spot.column, "a second document begins here; a file has one, so take out '---'"
    above = spot.lines[: spot.line + 1]
    if directives := [number for number, line in enumerate(above) if line.startswith("%")]:
        return directives[0], 0, "a line that begins with '%' is a directive to YAML's parser; take it out"
    if ends := [number for number, line in enumerate(above) if line.startswith("...")]:
        return ends[-1], 0, "'...' ends the document, and nothing may follow; take it out"
    return spot.line, spot.column, _NO_FIT


def _needs_quotes(spot: _Spot) -> _Found:
    line, column = spot.context or (spot.line, spot.column)
    char = spot.lines[line][column : column + 1] if line < len(spot.lines) else ""
    return line, column, f"a value that begins with '{char}' must stand in quotes"


def _open_at_the_end(spot: _Spot) -> _Found:
    return (*(spot.context or (spot.line, spot.column)), "the quote that opens here is not closed")


_MESSAGES: tuple[tuple[str, str | Callable[[_Spot], _Found]], ...] = (
    ("cannot start any token", _cannot_start),
    ("mapping values are not allowed", _mapping_not_allowed),
    ("could not find expected ':'", _simple_key),
    ("unexpected end of stream|unexpected document separator", _open_at_the_end),
    (r"expected ',' or|did not find expected ',' or", _flow),
    ("expected <block end>", _block_end),
    (
        "unknown escape character|escape sequence",
        "a backslash in double quotes must be doubled; or use single quotes",
    ),
    (
        "undefined alias",
        "a value that begins with '*' must stand in quotes (it is read as an alias, and there is no anchor of this "
        "name)",
    ),
    ("more than", lambda spot: (spot.line, spot.column, spot.problem)),
    ("contains itself", "an alias (*) stands inside what it is an alias of"),
    (
        "constructor for the tag|expected .* tag|tag handle|scanning a tag",
        "a value that begins with '!' must stand in quotes; YAML's tags are not used here",
    ),
    ("another document|expected '<document start>'", _second_document),
    (
        "sequence entries are not allowed",
        "a list's items ('- ') begin on the line below the key; on the key's own line write [a, b]",
    ),
    (
        "unhashable|hashable key",
        "a mapping or a list stands where a key is due; text with brackets needs quotes",
    ),
    ("for merging", "'<<' needs a mapping, as an alias (*) of one"),
    ("node content", _no_value),
    (
        "alphabetic or numeric|chomping or indentation|keys are not allowed|directive|block scalar|an anchor|an alias",
        _needs_quotes,
    ),
)
"""Pattern of the parser's words -> the message, at the spot unless a function finds another place."""


def _content(line: str) -> str:
    """Return a line without its indentation and its comment."""
    return re.sub(r"(^|\s)#.*$", "", line).strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
