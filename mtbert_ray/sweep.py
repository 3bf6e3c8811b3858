"""Run a sweep: `python -m mtbert_ray.sweep SPACE.yaml`."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mtbert_ray.cluster.inventory import cluster_capacity, local_capacity
from mtbert_ray.cluster.session import cluster_address, ray_session
from mtbert_ray.errors import UserError
from mtbert_ray.records import refuse_used_folder
from mtbert_ray.tuning.plan import Plan, check_inputs, describe, make_plan
from mtbert_ray.tuning.space import load_search_space
from mtbert_ray.tuning.sweep import run_sweep

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sweep(
    space: Annotated[Path, typer.Argument(help="YAML of a search space, as search_spaces/peft.yaml.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files for sst, quora and sts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: reports/NAME-DATE-TIME.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials, in place of the YAML's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Fix a key of every trial (epochs=1, encoder=minilm, adapter.rank=4) or change one of the space "
            "(seed=1, resources.num_workers=2). Repeat for more.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check everything, say what would run, start nothing.")] = False,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster, or 'auto' on one. Default: Ray on this machine.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's and the workers' own output.")] = False,
) -> None:
    """Fine-tune an encoder under many settings and report the Pareto front of quality against cost.

    Everything is checked before the first trial starts: the YAML, the data, the encoder, the cluster. The output
    folder holds the journal, the report (index.html, report.md), trials.csv, pareto.csv and each trial's checkpoint.

    Exit codes: 0 done, 1 all trials failed, 2 bad input (nothing was started), 130 interrupted.
    """
    try:
        exit_code = _sweep(space, data, out, trials, set_ or [], dry_run, address, verbose)
    except UserError as error:
        typer.echo(str(error), err=True)
        exit_code = error.exit_code
    raise typer.Exit(exit_code)


def _sweep(
    space_file: Path,
    data: Path | None,
    out: Path | None,
    trials: int | None,
    overrides: list[str],
    dry_run: bool,
    address: str | None,
    verbose: bool,
) -> int:
    data_directory = None if data is None else str(data.resolve())
    space = load_search_space(space_file, overrides=overrides, data_directory=data_directory, num_trials=trials)
    folder = out or Path("reports") / f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    refuse_used_folder(folder)
    address = cluster_address(address)
    plan = make_plan(space, local_capacity(), own_cluster=True) if address is None else None
    rows = check_inputs(space)
    if plan is not None and dry_run:
        return _print_plan(plan, rows)
    with ray_session(address, runs_ray_train=space.resources.uses_ray_train, verbose=verbose):
        plan = plan or make_plan(space, cluster_capacity(), own_cluster=False)
        if dry_run:
            return _print_plan(plan, rows)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(space_file, folder / "space.yaml")
        outcome = run_sweep(plan, folder, console=Console(stderr=True))
    typer.echo(f"Report: {outcome.report}")
    return outcome.exit_code


def _print_plan(plan: Plan, rows: dict[str, dict[str, int]]) -> int:
    for line in describe(plan, rows):
        typer.echo(line)
    return 0


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
