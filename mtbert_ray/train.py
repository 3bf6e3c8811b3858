"""Fine-tune one config without Ray: `python -m mtbert_ray.train --config CONFIG.yaml`."""

import warnings
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from mtbert_ray.config.file import load_config
from mtbert_ray.config.trial import without_effect
from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import DivergedError, UserError
from mtbert_ray.metrics import Metrics

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    config: Annotated[Path | None, typer.Option(help="YAML of one config; without it, the defaults.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files for sst, quora and sts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/DATE-TIME.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key, as adapter.rank=4.")
    ] = None,
) -> None:
    """Fine-tune one config on this machine, on its first GPU if it has one.

    Prints each epoch's dev scores and costs, writes them to metrics.jsonl, and keeps the checkpoint of the epoch with
    the best dev_score. The config.yaml of any trial of a sweep reproduces that trial.

    Exit codes: 0 done, 1 training diverged, 2 bad input (nothing was started), 4 a disk is full or fails.
    """
    folder = out or Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}"
    try:
        trial = load_config(config, set_ or (), data_directory=data)
        for key, reason in without_effect(trial).items():
            warnings.warn(f"{key} has no effect: {reason}", stacklevel=1)
        # Imported after the checks above: torch takes seconds.
        from mtbert_ray.training.alone import run_alone
        from mtbert_ray.training.loop import CHECKPOINT_NAME

        with refusals_as_disk_errors(folder), Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("loading data and encoder", total=None)

            def show_step(step: int, total: int) -> None:
                progress.update(bar, description="training", completed=step, total=total)

            for metrics in run_alone(trial, folder, on_step=show_step, announce=typer.echo, warn=_warn):
                typer.echo(_line(metrics, trial.epochs))
    except DivergedError as error:
        typer.echo(f"training failed: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"The best epoch's checkpoint: {folder / CHECKPOINT_NAME}")


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=1)


def _line(metrics: Metrics, epochs: int) -> str:
    shown = {key: value for key, value in metrics.items() if value is not None and _is_shown(key)}
    return f"epoch {metrics['epoch']}/{epochs}: " + ", ".join(f"{key} {value:.4g}" for key, value in shown.items())


def _is_shown(metric: str) -> bool:
    # A task's other scores, as `topic.f1_macro`, are; its share of the loss is not.
    return metric != "epoch" and not metric.startswith("train_loss.")


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
