"""Run a sweep: `python -m mtbert_ray.sweep SPACE.yaml`."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mtbert_ray.errors import ConfigError, UserError
from mtbert_ray.ray_backend.session_process import plain_warnings, run_session
from mtbert_ray.schema import MAX_REPEATS

if TYPE_CHECKING:
    from mtbert_ray.study.request import SweepRequest

RunSweep = Callable[..., int]
"""Runs a request, and returns the exit code; takes `address` and `verbose`."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SET_HELP = (
    "Fix a key of every trial (epochs=1, encoder=minilm, adapter.rank=4) or change one of the space "
    "(seed=1, resources.num_workers=2, 'search.dropout={uniform: [0, 0.3]}'). Repeat for more."
)
_NOT_ON_RESUME = (
    "of a new sweep; --resume continues with the configs of its own, so leave that out; further seeds: --repeat-front"
)
_ONLY_ON_RESUME = "of a sweep to --resume FOLDER (further seeds in a new one: --repeats N)"
_RESUME_HELP = (
    "Resume a sweep that was killed, interrupted or out of time, in place of SPACE: ended trials stay, interrupted "
    "ones continue behind their last epoch. With --trials, the number in all, also a completed one. A time budget "
    "starts anew. Of a space.yaml edited in FOLDER, the trials, repeats, time budget and concurrency are taken."
)
_REPEATS_HELP = "Run each trial on the front with so many further seeds once all have ended, in place of the YAML's."
_REPEAT_FRONT_HELP = "With --resume: the same for a sweep that is there, finished or not. Those that it has count."
_REMEASURE_HELP = (
    "With --resume: run each trial on the front alone for an epoch, so that nothing beside it counts in its costs."
)


class Remeasured(StrEnum):
    """What can be measured again."""

    FRONT = "front"


@app.command()
def sweep(
    context: typer.Context,
    space: Annotated[Path | None, typer.Argument(help="YAML of a search space, as search_spaces/peft.yaml.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files for sst, quora and sts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: reports/NAME-DATE-TIME.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials, in place of the YAML's.")] = None,
    repeats: Annotated[int | None, typer.Option(min=0, max=MAX_REPEATS, help=_REPEATS_HELP)] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET_HELP)] = None,
    only_check: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would run, start nothing.")
    ] = False,
    resume: Annotated[Path | None, typer.Option(metavar="FOLDER", help=_RESUME_HELP)] = None,
    repeat_front: Annotated[
        int | None, typer.Option(min=0, max=MAX_REPEATS, metavar="N", help=_REPEAT_FRONT_HELP)
    ] = None,
    remeasure: Annotated[Remeasured | None, typer.Option(help=_REMEASURE_HELP)] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster, or 'auto' on one. Default: Ray on this machine.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's and the workers' own output.")] = False,
) -> None:
    """Fine-tune an encoder under many configs and report the Pareto front of quality against cost.

    Everything is checked before the first trial starts: the YAML, the data, the encoder, the cluster. The output
    folder holds the journal, the report (index.html, report.md), trials.csv, pareto.csv and each trial's checkpoint.

    Exit codes: 0 done, 1 no trial finished (all failed, or the time budget was too short), 2 bad input (nothing was
    started), 3 cut off (Ray or the sweep's process was lost, or trials died too often; --resume continues), 4 a disk
    is full or fails, 130 interrupted.
    """
    try:
        given = {"SPACE": space, "--data": data, "--out": out, "--set": set_, "--repeats": repeats}
        if resume is not None:
            _refuse(given, _NOT_ON_RESUME)
            request = _resumed(resume, trials=trials, repeat_front=repeat_front, is_remeasured=remeasure is not None)
        else:
            _refuse({"--repeat-front": repeat_front, "--remeasure": remeasure}, _ONLY_ON_RESUME)
            request = _new(space, data=data, out=out, trials=trials, repeats=repeats, overrides=set_ or [])
        if only_check:
            from mtbert_ray.ray_backend.launch import dry_run  # It brings torch and Ray, which take seconds.

            for line in dry_run(request, address=address):
                typer.echo(line)
            return
        run: RunSweep = context.obj or run_session
        exit_code = run(request, address=address, verbose=verbose)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    raise typer.Exit(exit_code)


def _refuse(options: Mapping[str, object], why: str) -> None:
    if given := [name for name, value in options.items() if value is not None and value != []]:
        raise ConfigError([f"{', '.join(given)}: {why}"])


def _resumed(folder: Path, *, trials: int | None, repeat_front: int | None, is_remeasured: bool) -> "SweepRequest":
    from mtbert_ray.study.request import resume_request

    return resume_request(folder, num_trials=trials, repeat_front=repeat_front, remeasure=is_remeasured)


def _new(
    space: Path | None,
    *,
    data: Path | None,
    out: Path | None,
    trials: int | None,
    repeats: int | None,
    overrides: list[str],
) -> "SweepRequest":
    from mtbert_ray.study.request import new_request

    if space is None:
        raise ConfigError(["give the YAML of a search space, or --resume FOLDER to resume a sweep"])
    return new_request(space, out=out, data=data, num_trials=trials, repeats=repeats, overrides=overrides)


def _supervised(request: "SweepRequest", *, address: str | None, verbose: bool) -> int:
    from mtbert_ray.ray_backend.supervisor import supervise

    return supervise(request, address=address, verbose=verbose, console=Console(stderr=True))


def main() -> None:
    """Run the command line, with the sweep in a process of its own; `app` alone runs it in this one."""
    plain_warnings()
    app(obj=_supervised)


if __name__ == "__main__":
    main()
