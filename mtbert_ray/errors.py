"""The few errors a user can meet. Each message is complete: where, what was got, what is allowed, what to do.

Entry points print the message on stderr and exit with `exit_code`; they never show a traceback for one of these.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Self


class UserError(Exception):
    """A mistake the user can mend. Nothing has been started when it is raised before a run."""

    exit_code = 2


class ConfigError(UserError):
    """One or more mistakes in a configuration or a search space, reported all at once.

    Args:
        problems: one line a mistake, each with its place.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        assert problems, "a ConfigError names at least one problem"
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[str, ...]]]:
        # A worker's error is pickled on its way to the driver; by default its text would be taken for the problems.
        return type(self), (self.problems,)


class DataError(UserError):
    """A data file or data set that cannot be read as the task needs it."""


class ResourceError(UserError):
    """A request that the cluster could never meet."""


class EncoderError(UserError):
    """An encoder that cannot be found or is not a BERT-like encoder."""


class JournalError(UserError):
    """A journal that is missing, is not ours, or is damaged before its last line."""


class CheckpointError(UserError):
    """A checkpoint folder that is missing something or does not fit its encoder."""


class DivergedError(UserError):
    """A model's weights, losses or outputs are no longer finite numbers: nothing that it says means anything."""

    exit_code = 1


def did_you_mean(got: object, allowed: Iterable[str], *, prefix: str = "") -> str:
    """Return `"; did you mean 'x'?"` for the nearest allowed name, or an empty string when none is near.

    Args:
        got: the name as written.
        allowed: the right names.
        prefix: stands in front of the right name in what is returned.
    """
    matches = get_close_matches(str(got), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{prefix}{matches[0]}'?" if matches else ""
