"""Seeded damage to files: to their bytes, to their lines, and to values of what they hold."""

import copy
import json
import random
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from signal import ITIMER_PROF, ITIMER_REAL, SIGALRM, SIGPROF, setitimer, signal
from typing import Any

SECONDS = 20.0
"""Of CPU time, which one case may take before it counts as a hang; of waiting on a busy machine much more."""
_WAITING = 15


class Hang(BaseException):
    """Not an Exception: nothing that is tried may take it for an error of its own."""


@contextmanager
def no_hang(seconds: float = SECONDS):
    """Raise `Hang` in a block that does not end in time."""

    def stop(number, frame):
        raise Hang(f"no end after {seconds} s of CPU time, or {_WAITING} times as long")

    before = {number: signal(number, stop) for number in (SIGPROF, SIGALRM)}
    # Again and again: Python drops what is raised while it cleans up.
    setitimer(ITIMER_PROF, seconds, 1.0)
    setitimer(ITIMER_REAL, _WAITING * seconds, 1.0)
    try:
        yield
    finally:
        for timer in (ITIMER_PROF, ITIMER_REAL):
            setitimer(timer, 0)
        for number, handler in before.items():
            signal(number, handler)


def try_each(
    kind: str,
    count: int,
    seed: int,
    attempt: Callable[[random.Random, int], str],
    *,
    failures: list[str] | None = None,
    seconds: float = SECONDS,
) -> Counter[str]:
    """Make so many attempts, each with a generator and a number of its own; return how they came out.

    A failed one is raised with what it takes to repeat it, or added to `failures`.
    """
    outcomes: Counter[str] = Counter()
    for number in range(count):
        try:
            with no_hang(seconds):
                outcomes[attempt(random.Random(f"{seed} {number}"), number)] += 1
        except (Exception, Hang) as error:
            error.add_note(f"{kind}, seed {seed}, case {number}")
            if failures is None:
                raise
            failures.append("".join(traceback.format_exception(error)))
            outcomes["FAILED"] += 1
    return outcomes


# Bytes


def flip(rng: random.Random, content: bytes) -> bytes:
    """Change one to three bits."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def drop(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randint(1, 40) :]


def insert(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    new = rng.choice(
        [b"\0", b"\n", b'"', b"\xff\xfe", b",", b"\t", b"{", b"1", b"\r", rng.randbytes(8), b"\xe2\x80\xa8"]
    )
    return content[:start] + new + content[start:]


def zero(rng: random.Random, content: bytes) -> bytes:
    """As a disk may leave a block after a power cut."""
    start = rng.randrange(len(content))
    length = min(rng.choice([1, 16, 512]), len(content) - start)
    return content[:start] + b"\0" * length + content[start + length :]


def swap_digit(rng: random.Random, content: bytes) -> bytes:
    """Change one digit into another: what is still well formed."""
    places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    if not places:
        return flip(rng, content)
    place = rng.choice(places)
    return content[:place] + bytes([rng.choice(b"0123456789")]) + content[place + 1 :]


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (flip, cut, drop, insert, zero, swap_digit)


# Lines


def without_a_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def with_a_line_twice(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def with_lines_swapped(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"".join(lines)


def with_a_foreign_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice([b"\n", b"null\n", b"{}\n", b"[1]\n", b"<<<<<<< HEAD\n"]))
    return b"".join(lines)


LINES = (without_a_line, with_a_line_twice, with_lines_swapped, with_a_foreign_line)


# Values


def deep(depth: int) -> list:
    made: list = []
    for _ in range(depth):
        made = [made]
    return made


NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    10**6 + 1,
    10**18,
    10**37,
    10**60,
    -(10**400),
    0.5,
    -0.0,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    ".",
    "..",
    "../..",
    "/",
    "/etc/passwd",
    "~",
    "-rf",
    "a\0b",
    "x" * 5000,
    "größe 梯度 🙂",
    "\u2028",
    "$\\frac{",
    "<script>",
    "{{ 1 }}",
    "nan",
    "1e5",
    [],
    {},
    [1],
    [[]],
    ["dev_score"],
    {"": 1},
    {"a": {"b": [None, {}]}},
    [None],
    [0, 0],
    [5, 1],
    {"choice": []},
    {"uniform": [0, 1]},
    {"int": [1, 10**30]},
    {"grid": [1, 2]},
    {"direction": ["maximize"], "reference": [0]},
    {"name": "topic", "kind": "classification"},
)


def places_in(content: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value below a mapping or list."""
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = []
    for key, value in parts:
        found += [(*path, key), *places_in(value, (*path, key))]
    return found


def _parent(content: Any, path: tuple) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def changed_value(rng: random.Random, content: Any) -> Any:
    """Return a copy of mappings and lists with one to three values that do not belong where they are."""
    made = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        places = places_in(made)
        if not places:
            return rng.choice(NASTY)
        path = rng.choice(places)
        parent, key = _parent(made, path), path[-1]
        match rng.randrange(8):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice([f"{key}x", "", "name", "a.b", f"{key}.kind", "__class__"])] = parent.pop(key)
            case 2:
                other = rng.choice(places_in(made))
                parent[key] = copy.deepcopy(_parent(made, other)[other[-1]])
            case 3:
                parent[key] = [copy.deepcopy(parent[key])]
            case 4:
                parent[key] = deep(rng.choice([3, 90, 130, 250]))
            case _:
                parent[key] = copy.deepcopy(rng.choice(NASTY))
    return made


def as_json(content: Any) -> str:
    """Return content as JSON, with Python's NaN and Infinity."""
    return json.dumps(content, ensure_ascii=False)
