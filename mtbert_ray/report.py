"""`python -m mtbert_ray.report DIR`: write a sweep's report again, on any machine. Needs neither torch nor Ray."""

from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.errors import UserError
from mtbert_ray.journal import require_journal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folder of a sweep: what was given to it as --out; has journal.jsonl."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the report of several sweeps.")] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave damaged lines of the journal out, and name them in the report.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the report again as the journal grows, until the sweep ends.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks of --watch at the journal.")] = 10,
) -> None:
    """Write the report of a sweep that has ended, was killed or is still running.

    Reads DIR/journal.jsonl and writes into DIR: index.html (one page to decide from: what is worth having, the front,
    every trial; opens from disk), report.md (the same as Markdown), trials.csv (one row a trial: its hyperparameters,
    its scores, what it cost), pareto.csv (the rows on the front) and figures/ (PNG); for a sweep of one of the paper's
    tables also paper_comparison.csv (the paper's numbers and ours).

    A sweep writes its own report when it ends. Run this one to look at a sweep before that, after it was killed,
    or on a laptop that has only a copy of the folder. With --watch it follows a sweep until it ends, or Ctrl-C.

    With several DIRs and --out: one report of all, with their fronts over each other, by the objectives and the
    reference of the first, and a table of what differs between them.

    A journal of which a line is damaged, missing or there twice is refused. With --lenient the report is made of the
    other lines; it names what was left out, and so does this command.
    """
    try:
        if len(directories) == 1 and out is not None:
            raise UserError("--out is for the report of several sweeps; that of one is written into its own folder")
        if len(directories) > 1 and out is None:
            raise UserError("several sweeps need --out: the folder of the report that compares them")
        if len(directories) > 1 and watch:
            raise UserError("--watch follows one sweep; give one folder")
        for directory in directories:
            require_journal(directory)
        _write(directories, out, lenient=lenient, watched_every=every if watch else None)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _write(directories: list[Path], out: Path | None, *, lenient: bool, watched_every: float | None) -> None:
    # Imported after the checks above: pandas and matplotlib take a second.
    from mtbert_ray.reporting.document import write_report
    from mtbert_ray.reporting.joint_document import write_joint_report
    from mtbert_ray.reporting.watch import watch

    def warn(text: str) -> None:
        typer.echo(text, err=True)

    def write_one() -> None:
        typer.echo(f"The report: {write_report(directories[0], lenient=lenient, on_damage=warn)}")

    if out is not None:
        typer.echo(f"The report: {write_joint_report(directories, out, lenient=lenient, on_damage=warn)}")
    elif watched_every is not None:
        watch(directories[0], write_one, every_seconds=watched_every)
    else:
        write_one()


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
