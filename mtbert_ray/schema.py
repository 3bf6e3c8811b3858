"""What every config and record is built on: frozen, closed models, the bounds of numbers, and keys as text."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Schema(BaseModel):
    """Frozen, keyword-only, and closed: a key nobody declared is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FiniteSchema(Schema):
    """A setting of infinity or NaN is a mistake."""

    model_config = ConfigDict(allow_inf_nan=False)


def key_text(key: object) -> str:
    """Return a key as YAML would have it."""
    if isinstance(key, str):
        return key
    if isinstance(key, tuple):
        return f"[{', '.join(map(key_text, key))}]"
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


def is_number(key: str) -> bool:
    """Whether a key is a number, whose dot parts no names."""
    return re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", key, re.IGNORECASE) is not None


MAX_ROWS = 1_000_000_000
"""Of a data set."""
MAX_STEPS = 1_000_000
"""Epochs, steps, trials, rows of a batch, tokens of a sequence."""
MAX_PROCESSES = 100_000
"""Workers, cores, trials at a time."""
MAX_HIDDEN_LAYERS = 100
"""Of a head."""
MAX_RANK = 10_000_000_000_000
"""Of an adapter: no machine holds it, which a trial says itself, and PyTorch can still count its numbers."""
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
