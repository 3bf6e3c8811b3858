"""Predict with a checkpoint: `python -m mtbert_ray.predict CHECKPOINT --data DIR`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.config.checkpoint import parse_files, read_checkpoint_config
from mtbert_ray.config.file import problem_with_data_directory
from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import DataError, UserError
from mtbert_ray.task_source import Quoting

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Folder like reports/NAME/trials/ID/checkpoint.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the course's files; without it, the data it was trained on.")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=PATH", help="Predict this file instead; its labels, if any, are scored. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the prediction files. Default: predictions, next to the checkpoint.")
    ] = None,
    quoting: Annotated[
        Quoting | None,
        typer.Option(help="How quotes in --file are read. Default: the task's source decides (docs/tasks.md)."),
    ] = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Write the texts too, under their own names.")] = False,
) -> None:
    """Write a checkpoint's predictions for every task, dev and test, as CSV: one line for each row, in order.

    The columns are id, the texts (with --with-text), label (if the rows have any), prediction (the class by its name,
    or the number of a regression) and probability_CLASS for each class. Labeled predictions of classes come with their
    confusion table, NAME-confusion.csv: a row for each label, a column predicted_CLASS for each class. The course's
    tasks sst, quora and sts have the course's format instead.

    Scores the dev predictions, always on all dev rows. A task without test rows gets no test file. With --file, only
    the given files are predicted.
    """
    try:
        _check(checkpoint, data, file or [])
        # Imported after the checks above: torch takes seconds.
        from mtbert_ray.training.predictions import PredictionRequest, predict_checkpoint

        request = PredictionRequest(
            checkpoint=checkpoint, data=data, files=tuple(file or ()), out=out, with_text=with_text, quoting=quoting
        )
        with refusals_as_disk_errors(out or checkpoint):
            lines = predict_checkpoint(request, announce=lambda text: typer.echo(text, err=True))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo("\n".join(lines))


def _check(checkpoint: Path, data: Path | None, files: list[str]) -> None:
    """Refuse what needs no model to be refused."""
    config = read_checkpoint_config(checkpoint)
    problems = [f"{path}: no such file" for _, path in parse_files(files, config) if not path.exists()]
    if data is not None and (problem := problem_with_data_directory(data)):
        problems.append(f"--data {data}: {problem}")
    if problems:
        raise DataError("\n".join(problems))


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
