"""Size the next sweep from earlier ones: `python -m mtbert_ray.replay JOURNAL...`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.errors import UserError
from mtbert_ray.journal import require_journal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SEARCHER_HELP = (
    "recorded (the journal's order; seeds above 0 shuffle it), random, front, tpe, nsga2, gp: what it suggests is "
    "replaced by the nearest recorded config not yet run. Repeat for more. Default: recorded; front on LCBench."
)
_SET_HELP = (
    "Change the rule pareto, as under `halving` of a search space: grace_period=2, reduction_factor=4, "
    "keep_quantile=0.3. Repeat for more."
)


@app.command()
def replay(
    journals: Annotated[list[Path] | None, typer.Argument(metavar="JOURNAL", help="Folders of sweeps.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="fifo, pareto, epsilon_net or asha:METRIC. Repeat for more. Default: fifo and pareto."),
    ] = None,
    searcher: Annotated[list[str] | None, typer.Option(help=_SEARCHER_HELP)] = None,
    workers: Annotated[list[int] | None, typer.Option(min=1, help="Trials at once. Repeat for more.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each combination.")] = 5,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET_HELP)] = None,
    lcbench: Annotated[Path | None, typer.Option(help="Folder that holds lcbench/, instead of journals.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Of LCBench. Repeat for more. Default: all 34.")] = None,
    output: Annotated[Path | None, typer.Option(help="A .csv or .json file, a row a run.")] = None,
) -> None:
    """Run stopping rules and searchers against recorded sweeps, in simulation, to size the next one.

    A sweep with scheduler fifo has the whole curve of every trial. Here its trials run again on a simulated clock, and
    each rule stops some of them. The table shows what share of the final hypervolume is reached within 25, 50, 75 and
    100% of the cost of running everything to its end, at how many mean full runs 95% of it is reached, and what was
    stopped; below it, a sentence a rule on what the next sweep would save with it.

    Trials that were stopped early, failed or were interrupted are left out: the rest of their curves is not known.

    Exit codes: 0 done, 2 bad input.
    """
    try:
        for folder in journals or ():
            require_journal(folder)
        # Imported after the check above: optuna, scipy and moocore take a second.
        from mtbert_ray.simulation.request import ReplayRequest, prepare
        from mtbert_ray.simulation.summary import run, show, write

        request = ReplayRequest(
            journals=tuple(journals or ()),
            rules=tuple(rule or ()),
            searchers=tuple(searcher or ()),
            workers=tuple(workers or ()),
            seeds=seeds,
            overrides=tuple(set_ or ()),
            benchmark=lcbench,
            tasks=tuple(task or ()),
            output=output,
        )
        prepared = prepare(request)
        runs = run(prepared)
        if output is not None:
            write(output, prepared, runs)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    show(prepared, runs)


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
