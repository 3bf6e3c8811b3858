"""Export a checkpoint for transformers, peft or onnxruntime: `python -m mtbert_ray.export CHECKPOINT --out DIR`."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from mtbert_ray.config.checkpoint import read_checkpoint_config
from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import UserError
from mtbert_ray.files import refuse_used_folder

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder like reports/NAME/trials/ID/checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must be empty or not there yet.")],
    merge: Annotated[bool, typer.Option("--merge", help="Fold the adapter into the encoder's weights.")] = False,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write encoder and head of each task as TASK.onnx, the adapter merged.")
    ] = False,
) -> None:
    r"""Write a checkpoint's encoder as a folder that others load without this package, with a model card.

    A fine-tuned encoder becomes what AutoModel.from_pretrained loads, an adapter what PeftModel.from_pretrained loads
    on the encoder that it was trained on, or with --merge an encoder too. The task heads stay in the checkpoint.

    With --onnx (pip install 'mtbert-ray\[onnx]') the tasks too: one file a task for onnxruntime, for batches of any
    size and length, compared with the model before it is written. The model card has the code that runs it.
    """
    try:
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
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{folder}: how to {'run' if onnx else 'load'} it is in its README.md")


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    app()


if __name__ == "__main__":
    main()
