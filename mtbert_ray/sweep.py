"""Run a sweep: `python -m mtbert_ray.sweep SPACE.yaml`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mtbert_ray.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SET_HELP = (
    "Fix a key of every trial (epochs=1, encoder=minilm, adapter.rank=4) or change one of the space "
    "(seed=1, resources.num_workers=2, 'search.dropout={uniform: [0, 0.3]}'). Repeat for more."
)
_RESUME_HELP = (
    "Go on with a sweep that was killed, interrupted or out of time, in place of SPACE: ended trials stay, those that "
    "were cut off start again. With --trials, the number in all, also one that is complete. A time budget begins anew."
)


@app.command()
def sweep(
    space: Annotated[Path | None, typer.Argument(help="YAML of a search space, as search_spaces/peft.yaml.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files for sst, quora and sts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: reports/NAME-DATE-TIME.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials, in place of the YAML's.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET_HELP)] = None,
    only_check: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would run, start nothing.")
    ] = False,
    resume: Annotated[Path | None, typer.Option(metavar="FOLDER", help=_RESUME_HELP)] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster, or 'auto' on one. Default: Ray on this machine.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's and the workers' own output.")] = False,
) -> None:
    """Fine-tune an encoder under many settings and report the Pareto front of quality against cost.

    Everything is checked before the first trial starts: the YAML, the data, the encoder, the cluster. The output
    folder holds the journal, the report (index.html, report.md), trials.csv, pareto.csv and each trial's checkpoint.

    Exit codes: 0 done, 1 no trial finished (all failed, or the time budget was too short), 2 bad input (nothing was
    started), 130 interrupted.
    """
    # Imported here: torch and Ray take seconds, which --help need not wait for.
    from mtbert_ray.ray_backend.launch import SweepRequest, dry_run, launch

    request = SweepRequest(
        space_file=space,
        resume_folder=resume,
        data=data,
        out=out,
        num_trials=trials,
        overrides=tuple(set_ or ()),
        address=address,
        verbose=verbose,
    )
    try:
        if only_check:
            for line in dry_run(request):
                typer.echo(line)
            return
        outcome = launch(request, console=Console(stderr=True))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"Report: {outcome.report}")
    raise typer.Exit(outcome.exit_code)


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
