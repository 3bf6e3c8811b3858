"""`python -m mtbert_ray.report DIR`: write a sweep's report again, on any machine. Needs neither torch nor Ray."""

from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.errors import UserError
from mtbert_ray.journal import require_journal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a sweep: what was given to it as --out; has journal.jsonl.")
    ],
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave damaged lines of the journal out, and name them in the report.")
    ] = False,
) -> None:
    """Write the report of a sweep that has ended, was killed or is still running.

    Reads DIR/journal.jsonl and writes into DIR: index.html (one page to decide from: what is worth having, the front,
    every trial; opens from disk), report.md (the same as Markdown), trials.csv (one row a trial: its hyperparameters,
    its scores, what it cost), pareto.csv (the rows on the front) and figures/ (PNG); for a sweep of one of the paper's
    tables also paper_comparison.csv (the paper's numbers and ours).

    A sweep writes its own report when it ends. Run this one to look at a sweep before that, after it was killed,
    or on a laptop that has only a copy of the folder.

    A journal of which a line is damaged, missing or there twice is refused. With --lenient the report is made of the
    other lines; it names what was left out, and so does this command.
    """
    try:
        require_journal(directory)
        # Imported after the check above: pandas and matplotlib take a second.
        from mtbert_ray.reporting.document import write_report

        index = write_report(directory, lenient=lenient, on_damage=lambda text: typer.echo(text, err=True))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"The report: {index}")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
