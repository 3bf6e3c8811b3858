"""How large a setting may be, and which texts name a file, a folder or an encoder.

The bounds are far beyond every use. What is larger is a slip, as a zero too many, and would end in an overflow, in all
of the memory, or never.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

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
