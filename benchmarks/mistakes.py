"""Ends a benchmark at a user's mistake with its message, as the package's commands do."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mtbert_ray.errors import UserError


@contextmanager
def told_to_the_user() -> Iterator[None]:
    """Print a mistake and exit, in place of a traceback."""
    try:
        yield
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
