"""Predict with a checkpoint: `python -m mtbert_ray.predict CHECKPOINT --data DIR`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Folder like reports/NAME/trials/ID/checkpoint.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the course's files; without it, the data it was trained on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the prediction files. Default: predictions beside the checkpoint.")
    ] = None,
) -> None:
    """Write a checkpoint's predictions for every task, dev and test, in the course's format.

    Scores the dev predictions, on all dev rows whatever the training run was limited to. A task without test rows
    gets no test file.
    """
    # Imported here: torch takes seconds, which --help need not wait for.
    from mtbert_ray.training.checkpoint import load_checkpoint
    from mtbert_ray.training.predictions import predict_all
    from mtbert_ray.training.process import local_process

    try:
        model, config = load_checkpoint(checkpoint)
        if data is not None:
            if all(task.source is not None for task in config.tasks):
                warnings.warn(
                    "--data has no effect: every task of this checkpoint has a source of its own", stacklevel=1
                )
            config = config.model_copy(update={"data": config.data.on_course_files(data)})
        folder = out or checkpoint.parent / "predictions"
        process = local_process(config.resources)
        written = predict_all(model, config, folder, process=process, announce=lambda text: typer.echo(text, err=True))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    for path in written.files:
        typer.echo(str(path))
    typer.echo(", ".join(f"{name} {score:.4f}" for name, score in written.scores.items()))


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
