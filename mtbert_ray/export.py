"""Export a checkpoint for transformers, peft or onnxruntime, or a sweep to Optuna: `python -m mtbert_ray.export`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.config.checkpoint import read_checkpoint_config
from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import UserError
from mtbert_ray.files import refuse_used_folder
from mtbert_ray.journal import read_journal, require_journal

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="A checkpoint like reports/NAME/trials/ID/checkpoint; with --to a sweep's folder.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write; must be empty or not there yet.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Fold the adapter into the encoder's weights.")] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write encoder and head of each task as TASK.onnx, the adapter merged.")
    ] = False,
    to: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="optuna URL", help="Write a sweep into an Optuna storage, as sqlite:///sweeps.db."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="With --to: name of the study. Default: the sweep's name.")] = None,
) -> None:
    r"""Write a checkpoint's encoder as a folder that others load without this package, with a model card.

    A fine-tuned encoder becomes what AutoModel.from_pretrained loads, an adapter what PeftModel.from_pretrained loads
    on the encoder that it was trained on, or with --merge an encoder too. The task heads stay in the checkpoint.

    With --onnx (pip install 'mtbert-ray\[onnx]') the tasks too: one file a task for onnxruntime, for batches of any
    size and length, compared with the model before it is written. The model card has the code that runs it.

    With --to optuna URL the trials of a sweep that have ended become a study in a database, for Optuna Dashboard:
    objectives, constraints, the first objective by epoch, states. Again later, those that have ended since are added.
    """
    try:
        if to is not None:
            if out is not None or merge or onnx:
                raise UserError("--to writes a sweep into a database; --out, --merge and --onnx are for checkpoints")
            _export_sweep(folder, *to, study=study)
            return
        if out is None:
            raise UserError("give --out: the folder to write; or, for a sweep, --to optuna URL")
        if study is not None:
            raise UserError("--study names the study of --to optuna URL; a checkpoint has none")
        _export_checkpoint(folder, out, merge=merge, onnx=onnx)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error


def _export_checkpoint(checkpoint: Path, out: Path, *, merge: bool, onnx: bool) -> None:
    config = read_checkpoint_config(checkpoint)
    refuse_used_folder(out)
    if merge and onnx:
        warnings.warn("--merge has no effect: --onnx always merges", stacklevel=1)
    elif merge and config.adapter.kind == "none":
        warnings.warn("--merge has no effect: the checkpoint has no adapter", stacklevel=1)
    # Imported after the checks above: torch takes seconds.
    from mtbert_ray.training.export import export_checkpoint
    from mtbert_ray.training.onnx_export import export_onnx

    with refusals_as_disk_errors(out):
        folder = export_onnx(checkpoint, out) if onnx else export_checkpoint(checkpoint, out, merge=merge)
    typer.echo(f"{folder}: how to {'run' if onnx else 'load'} it is in its README.md")


def _export_sweep(folder: Path, target: str, url: str, *, study: str | None) -> None:
    if target != "optuna":
        raise UserError(f"--to {target}: a sweep can be written to an Optuna storage only: --to optuna {url}")
    require_journal(folder)
    # Imported after the checks above: Optuna and its database library take a second.
    from mtbert_ray.study.optuna_storage import write_to_optuna

    written = write_to_optuna(read_journal(folder), url, study_name=study)
    left_out = f", {written.left_out} left out as they have not ended" if written.left_out else ""
    typer.echo(
        f"study '{written.study_name}': {written.added} trials added, {written.already_there} were there{left_out}"
    )


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
