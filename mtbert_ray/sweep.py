"""Run a sweep: `python -m mtbert_ray.sweep SPACE.yaml`."""

import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mtbert_ray.errors import ConfigError, UserError

if TYPE_CHECKING:
    from mtbert_ray.study.request import SweepRequest

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SET_HELP = (
    "Fix a key of every trial (epochs=1, encoder=minilm, adapter.rank=4) or change one of the space "
    "(seed=1, resources.num_workers=2, 'search.dropout={uniform: [0, 0.3]}'). Repeat for more."
)
_RESUME_HELP = (
    "Resume a sweep that was killed, interrupted or out of time, in place of SPACE: ended trials stay, interrupted "
    "ones start again. With --trials, the number in all, also a completed one. A time budget starts anew. Of a "
    "space.yaml that was edited in FOLDER, the trials, time budget and concurrency are taken."
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
    """Fine-tune an encoder under many configs and report the Pareto front of quality against cost.

    Everything is checked before the first trial starts: the YAML, the data, the encoder, the cluster. The output
    folder holds the journal, the report (index.html, report.md), trials.csv, pareto.csv and each trial's checkpoint.

    Exit codes: 0 done, 1 no trial finished (all failed, or the time budget was too short), 2 bad input (nothing was
    started), 4 a disk is full or fails, 130 interrupted.
    """
    try:
        request = _request(space, resume, data=data, out=out, trials=trials, overrides=set_ or [])
        # Only now: torch and Ray take seconds, which neither --help nor a mistake in the YAML need wait for.
        from mtbert_ray.ray_backend.launch import dry_run, launch

        if only_check:
            for line in dry_run(request, address=address):
                typer.echo(line)
            return
        outcome = launch(request, address=address, verbose=verbose, console=Console(stderr=True))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    if outcome.problem is not None:
        typer.echo(outcome.problem, err=True)
    folder = shlex.quote(str(outcome.folder))
    if outcome.report is None:
        typer.echo(f"Write the report with: python -m mtbert_ray.report {folder}")
    else:
        typer.echo(f"Report: {outcome.report}")
    if outcome.reason != "completed":
        typer.echo(f"Resume with: python -m mtbert_ray.sweep --resume {folder}")
    raise typer.Exit(outcome.exit_code)


def _request(
    space: Path | None,
    resume: Path | None,
    *,
    data: Path | None,
    out: Path | None,
    trials: int | None,
    overrides: list[str],
) -> "SweepRequest":
    from mtbert_ray.study.request import new_request, resume_request

    if resume is None:
        if space is None:
            raise ConfigError(["give the YAML of a search space, or --resume FOLDER to resume a sweep"])
        return new_request(space, out=out, data=data, num_trials=trials, overrides=overrides)
    given = {"SPACE": space, "--data": data, "--out": out, "--set": overrides or None}
    if mixed := [name for name, value in given.items() if value is not None]:
        raise ConfigError([f"--resume continues with the configs of its sweep; leave out {', '.join(mixed)}"])
    return resume_request(resume, num_trials=trials)


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
