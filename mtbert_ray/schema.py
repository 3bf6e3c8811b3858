"""What every config and record is built on: frozen, closed models, the bounds of numbers, and what names may be."""

import hashlib
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """Frozen, keyword-only, and closed: a key nobody declared is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FiniteSchema(Schema):
    """A number that is infinite or NaN is a mistake."""

    model_config = ConfigDict(allow_inf_nan=False)


MAX_ROWS = 1_000_000_000
"""Of a data set."""
MAX_STEPS = 1_000_000
"""Epochs, steps, trials, rows of a batch, tokens of a sequence."""
MAX_PROCESSES = 100_000
"""Workers, cores, trials at a time."""
MAX_REPEATS = 1000
"""Further seeds of a trial."""
MAX_HIDDEN_LAYERS = 100
"""Of a head."""
MAX_RANK = 10_000_000_000_000
"""Of an adapter: no machine holds it, so the trial fails, but PyTorch can still count its numbers."""
MAX_FACTOR = 1e6
"""Numbers that multiply another one, as the weight of a loss."""
MAX_NUMBER = 1e38
"""Other numbers; float32's largest is 3.4e38."""


def _without_null_byte(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a null byte")
    return text


Name = Annotated[str, Field(min_length=1), AfterValidator(_without_null_byte)]
"""Of a file, a folder or an encoder."""


MAX_LENGTH = 80
"""Of the name of a sweep or an experiment, which names a folder or a row."""


def problem_with_name(name: str) -> str | None:
    """Return what is wrong with the name of a sweep or an experiment, as `must begin with ...`, or none."""
    if re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MAX_LENGTH - 1}}}", name):
        return None
    example = re.sub(r"[^A-Za-z0-9_.-]+", "-", _in_ascii(name)).strip("-_.")[:MAX_LENGTH]
    return (
        "must begin with a letter or a digit and hold only letters, digits, '_', '.' and '-', at most "
        f"{MAX_LENGTH}{f', as {example}' if example else ''}"
    )


def problem_with_path_part(name: str) -> str | None:
    """Return what is wrong with a name from a file that becomes a part of a path, or none.

    `..`, an absolute path and an empty name are none; nor is one that begins with `-`, an option of a command.
    """
    if re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_LENGTH - 1}}}", name):
        return None
    return f"must begin with a letter, a digit or '_' and hold only letters, digits, '_' and '-', at most {MAX_LENGTH}"


def one_line(name: str) -> str:
    """Return any name as it can stand in a line: a line break is a space."""
    return " ".join(name.split())


def file_name_part(name: str) -> str:
    """Return any name as a part of a file's name: small letters, digits, `_` and `.`, at most 70 of them.

    Different names stay different, also where a file system takes A for a.
    """
    return made_unique(re.sub(r"[^a-z0-9_.]", "_", name.lower())[:60], name)


def made_unique(changed: str, name: str) -> str:
    """Return a changed name with a short hash of the name; the name itself where nothing was changed."""
    if changed == name:
        return name
    return f"{changed}_{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:9]}"


def _plain_name(name: str) -> str:
    if problem := problem_with_name(name):
        raise ValueError(problem)
    return name


def _task_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        example = re.sub(r"[^a-z0-9]+", "_", _in_ascii(name).lower()).strip("_")
        example = f"task_{example}" if example[:1].isdigit() else example or "support_topic"
        raise ValueError(f"must begin with a small letter and hold only small letters, digits and _, as {example}")
    return name


def _in_ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()


PlainName = Annotated[str, AfterValidator(_plain_name)]
"""The name of a sweep or an experiment."""
TaskName = Annotated[str, AfterValidator(_task_name)]
"""The name of a task: it becomes a part of column names and of configuration keys."""
