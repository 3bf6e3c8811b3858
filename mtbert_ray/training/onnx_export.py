"""Writes a checkpoint as a folder that onnxruntime runs: a file a task, the tokenizer, tasks.json, and a model card.

A file is compared with the model before anything is put into the folder; what a file computes is `onnx_graph.py`'s.
"""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from transformers import PreTrainedTokenizerFast

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.errors import EncoderError, UserError
from mtbert_ray.files import make_folder, open_to_others, refuse_used_folder
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel, TokenBatch
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.export import public_base, without_local_paths
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.model_card import EXPORTED_CONFIG_NAME, onnx_card
from mtbert_ray.training.onnx_graph import NotExportedError, TaskGraph, write_graph

TASKS_NAME = "tasks.json"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LONG = "on and " * 150
"""Of some hundred tokens, which is more than the windows of encoders that look at a part of a text at once."""
_SAMPLE = (
    ("The ferry leaves at noon.", "At twelve the boat departs."),
    ("Yes.", "No, not today, I am afraid."),
    (_LONG, "Short."),
    ("", "Is there anybody?"),
    ("A row of another length than all of the others here", _LONG),
)
"""Rows that files are exported with and compared on."""
_BATCHES = ([0, 1], [1], [2, 3, 0], [3, 0, 1, 4])
"""Places in the sample: of other numbers of rows and lengths than the first, padded and not."""


def export_onnx(checkpoint: Path, out: Path) -> Path:
    """Write each task's encoder and head as TASK.onnx into a new folder and return it; an adapter is merged.

    Every file has been run under onnxruntime on batches of other shapes than it was exported with, padded ones too;
    its outputs are the model's within 1e-4.

    Args:
        checkpoint: folder of the checkpoint.
        out: empty, or there is none yet.

    Raises:
        UserError: a package is not installed, or the folder is in use or cannot be made.
        CheckpointError: the checkpoint is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder cannot be found, or cannot be exported.
    """
    _check_installed()
    refuse_used_folder(out)
    model, config = load_checkpoint(checkpoint)
    metrics = read_metrics(checkpoint)
    merge_adapter(model.encoder)
    was_there = out.exists()
    make_folder(out, f"--out {out}")
    try:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            tasks = _write_files(Path(folder), model, config)
            public = without_local_paths(config)
            with (Path(folder) / EXPORTED_CONFIG_NAME).open("w", encoding="utf-8") as file:
                YAML().dump(public.model_dump(mode="json"), file)
            card = onnx_card(public, metrics, base=public_base(config), name=out.name, tasks=tasks)
            (Path(folder) / "README.md").write_text(card, encoding="utf-8")
            for path in Path(folder).iterdir():
                open_to_others(path)
                shutil.move(path, out / path.name)
    except BaseException:
        if not was_there and not any(out.iterdir()):
            out.rmdir()
        raise
    return out


def _write_files(folder: Path, model: MultitaskModel, config: TrialConfig) -> dict[str, dict[str, Any]]:
    """Write the tokenizer, each task's file, and what tasks.json says of them, which is returned."""
    tokenizer = load_tokenizer(config.encoder)
    about_tasks: dict[str, dict[str, Any]] = {}
    for task in config.tasks:
        path = folder / f"{task.name}.onnx"
        try:
            graph = write_graph(path, model, task, _batches(task, config, tokenizer))
        except NotExportedError as error:
            kind = model.encoder.model.config.model_type
            raise EncoderError(
                f"--onnx: encoder '{config.encoder}' ({kind}) cannot be exported for task '{task.name}': {error}. "
                "Nothing was written; export without --onnx"
            ) from error
        about_tasks[task.name] = _about(task, config, path, graph)
    # As rows are encoded in training, whatever the encoder's files say.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    tokenizer.save_pretrained(folder)
    content = {"max_length": config.data.max_length, "pair_encoding": config.pair_encoding, "tasks": about_tasks}
    (folder / TASKS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return about_tasks


def _about(task: TaskSpec, config: TrialConfig, path: Path, graph: TaskGraph) -> dict[str, Any]:
    about: dict[str, Any] = {
        "file": path.name,
        "kind": str(task.kind),
        "inputs": graph.input_names,
        "outputs": graph.output_names,
        "templates": task.templates if task.kind.is_pair else task.templates[:1],
    }
    return about | ({"label_range": task.label_range} if task.kind.is_regression else {"classes": task.class_names})


def _batches(task: TaskSpec, config: TrialConfig, tokenizer: PreTrainedTokenizerFast) -> list[tuple[TokenBatch, ...]]:
    first, second = ([row[place] for row in _SAMPLE] for place in (0, 1))
    examples = Examples(
        ids=[str(number) for number in range(len(_SAMPLE))],
        sentence1=first,
        sentence2=second if task.kind.is_pair else None,
        labels=None,
        rows_read=RowsRead(num_rows=len(_SAMPLE)),
        origin="sample",
    )
    split = encode(examples, config, tokenizer, task=task, keep=False)
    return [split.sentences(np.array(rows)) for rows in _BATCHES]


def _check_installed() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"--onnx: {', '.join(missing)} not installed; run: pip install 'mtbert-ray[onnx]'")
