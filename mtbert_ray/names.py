"""What tasks, sweeps and experiments can be called, and what to say of a name that is not so.

Each message has an example that is made of what the user wrote. A class can be called anything, and the metric
`topic.f1.CLASS` with it: what such a name is in a line of text, in a file's name, or as a tag is said here too.
"""

import hashlib
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

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


def one_line(name: str) -> str:
    """Return any name as it can stand in a line: a line break is a space."""
    return " ".join(name.split())


def file_name_part(name: str) -> str:
    """Return any name as a part of a file's name: small letters, digits, `_` and `.`, at most 70 of them.

    Different names stay different, also where a file system takes A for a.
    """
    return told_apart(re.sub(r"[^a-z0-9_.]", "_", name.lower())[:60], name)


def told_apart(changed: str, name: str) -> str:
    """Return what stands for a name: the name itself, or where it was changed, that with a short hash of the name."""
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
