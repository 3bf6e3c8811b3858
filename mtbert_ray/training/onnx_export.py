"""Exports a checkpoint as a folder that onnxruntime runs: a file per task, the tokenizer, tasks.json, and a model card.

Each file is compared with the model before anything is put into the folder. Needs the packages of the `onnx` extra.
"""

# B batch, L tokens, C classes

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.examples import Examples, RowsRead
from mtbert_ray.errors import EncoderError, UserError
from mtbert_ray.files import make_folder, open_to_others, refuse_used_folder
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.heads import Head
from mtbert_ray.models.multitask import MultitaskModel, TokenBatch
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.export import write_onnx_card
from mtbert_ray.training.inputs import encode

TASKS_NAME = "tasks.json"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""What outputs may differ by from the model's, absolutely or in proportion."""
_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_LONG = "on and " * 150
"""A few hundred tokens: more than the window of encoders with local attention."""
_SAMPLE = (
    ("The ferry leaves at noon.", "At twelve the boat departs."),
    ("Yes.", "No, not today, I am afraid."),
    (_LONG, "Short."),
    ("", "Is there anybody?"),
    ("A row of another length than all of the others here", _LONG),
)
"""Rows for the export and the comparison."""
_BATCHES = ([0, 1], [1], [2, 3, 0], [3, 0, 1, 4])
"""Rows of the sample in each batch: the first is exported, the others differ in rows, lengths and padding."""


def export_onnx(checkpoint: Path, out: Path) -> Path:
    """Write each task's encoder and head as TASK.onnx into a new folder and return it; an adapter is merged.

    Every file has been run under onnxruntime on batches of other shapes than it was exported with, padded ones too;
    its outputs are the model's within 1e-4.

    Raises:
        UserError: a package is not installed, or the folder is in use or cannot be made.
        CheckpointError: the checkpoint is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder cannot be found, or cannot be exported.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UserError(f"--onnx: {', '.join(missing)} not installed; run: pip install 'mtbert-ray[onnx]'")
    refuse_used_folder(out)
    model, config = load_checkpoint(checkpoint)
    metrics = read_metrics(checkpoint)
    merge_adapter(model.encoder)
    was_there = out.exists()
    make_folder(out, f"--out {out}")
    try:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            tasks = _write_files(Path(folder), model, config)
            write_onnx_card(Path(folder), config, metrics, name=out.name, tasks=tasks)
            for path in Path(folder).iterdir():
                open_to_others(path)
                shutil.move(path, out / path.name)
    except BaseException:
        if not was_there and not any(out.iterdir()):
            out.rmdir()
        raise
    return out


def _write_files(folder: Path, model: MultitaskModel, config: TrialConfig) -> dict[str, dict[str, Any]]:
    """Write the tokenizer, each task's file, and tasks.json; return its tasks."""
    tokenizer = load_tokenizer(config.encoder)
    entries: dict[str, dict[str, Any]] = {}
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
        entries[task.name] = _task_entry(task, config, path, graph)
    # As rows are encoded in training, whatever the encoder's files say.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    tokenizer.save_pretrained(folder)
    content = {"max_length": config.data.max_length, "pair_encoding": config.pair_encoding, "tasks": entries}
    (folder / TASKS_NAME).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return entries


def _task_entry(task: TaskSpec, config: TrialConfig, path: Path, graph: "TaskGraph") -> dict[str, Any]:
    entry: dict[str, Any] = {
        "file": path.name,
        "kind": str(task.kind),
        "inputs": graph.input_names,
        "outputs": graph.output_names,
        "templates": task.templates if task.kind.is_pair else task.templates[:1],
    }
    return entry | ({"label_range": task.label_range} if task.kind.is_regression else {"classes": task.class_names})


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


class NotExportedError(Exception):
    """No exporter made a file that computes what the model does; with the reasons."""


class TaskGraph(nn.Module):
    """One task's encoder and head: tokens in; logits and probabilities, or a regression's number, out.

    The model is in eval mode, its adapter merged. A pair that is encoded separately has two sequences, with a padded
    forward each.
    """

    def __init__(self, model: MultitaskModel, task: TaskSpec, *, num_sequences: int) -> None:
        super().__init__()
        self._encoder = model.encoder
        head = model.heads[task.name]
        assert isinstance(head, Head)
        self._head = head
        self._keys = _TOKEN_INPUTS if model.encoder.has_token_types else _TOKEN_INPUTS[:2]
        ends = [""] if num_sequences == 1 else [f"_{number + 1}" for number in range(num_sequences)]
        self.input_names = [key + end for end in ends for key in self._keys]
        """`input_ids` and so on, each (B, L) int64; with the suffixes `_1` and `_2` for two sequences."""
        self.output_names = ["prediction"] if task.kind.is_regression else ["probabilities", "logits"]
        """`prediction` (B,), or `probabilities` and `logits`, (B, C) each; float32."""
        self.axes: list[dict[int, str]] = [{0: "batch", 1: f"length{end}"} for end in ends for _ in self._keys]
        """For each input the names of its dynamic dimensions."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for the inputs in the order of their names."""
        width = len(self._keys)
        embeddings = []
        for start in range(0, len(inputs), width):
            ids_BL, mask_BL, *types = inputs[start : start + width]
            embeddings.append(self._encoder(ids_BL, mask_BL, types[0] if types else torch.zeros_like(ids_BL)))
        return self._head.outputs(self._head(*embeddings))

    def inputs_of(self, sentences: Sequence[TokenBatch]) -> tuple[Tensor, ...]:
        """Return a batch's tokens in the order of the input names."""
        return tuple(tokens[key] for tokens in sentences for key in self._keys)


def write_graph(
    path: Path,
    model: MultitaskModel,
    task: TaskSpec,
    batches: Sequence[tuple[TokenBatch, ...]],
) -> TaskGraph:
    """Write a task's file and return its graph. A file whose outputs differ from the model's is removed.

    Weights of more than 2 GB are in a second file, `NAME.onnx.data`. The model is on the CPU, in eval mode, its adapter
    merged. The first batch, of two rows at least, is the example that is exported. The file is compared with the model
    on all batches; the others have other numbers of rows and lengths.

    Raises:
        NotExportedError: every exporter failed, or its file computes something else.
    """
    graph = TaskGraph(model, task, num_sequences=len(batches[0])).eval()
    reasons = []
    for name, export in EXPORTERS.items():
        try:
            with _quiet():
                export(graph, graph.inputs_of(batches[0]), path)
                reason = _difference(path, graph, model, task, batches)
        except Exception as error:
            # Exporters, checker and runtime raise errors of many types of their own.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if reason is None:
            return graph
        reasons.append(f"{name}: {reason}")
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
    raise NotExportedError("; ".join(reasons))


def _by_export(graph: TaskGraph, example: tuple[Tensor, ...], path: Path) -> None:
    torch.onnx.export(
        graph,
        example,
        str(path),
        input_names=graph.input_names,
        output_names=graph.output_names,
        dynamo=True,
        dynamic_shapes=(tuple(graph.axes),),
        external_data=False,
        verbose=False,
    )


def _by_tracing(graph: TaskGraph, example: tuple[Tensor, ...], path: Path) -> None:
    axes = dict(zip(graph.input_names, graph.axes, strict=True)) | {name: {0: "batch"} for name in graph.output_names}
    torch.onnx.export(
        graph,
        example,
        str(path),
        input_names=graph.input_names,
        output_names=graph.output_names,
        dynamo=False,
        dynamic_axes=axes,
        opset_version=18,
    )


EXPORTERS: dict[str, Callable[[TaskGraph, tuple[Tensor, ...], Path], None]] = {
    "torch.export": _by_export,
    "torch.jit.trace": _by_tracing,
}
"""PyTorch's exporter, and its older one as a fallback."""


@torch.inference_mode()
def _difference(
    path: Path, graph: TaskGraph, model: MultitaskModel, task: TaskSpec, batches: Sequence[tuple[TokenBatch, ...]]
) -> str | None:
    """Return how a file's outputs differ from the model's under onnxruntime; none where they are equal."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    head = model.heads[task.name]
    assert isinstance(head, Head)
    for sentences in batches:
        inputs = zip(graph.input_names, graph.inputs_of(sentences), strict=True)
        got = session.run(graph.output_names, {name: tensor.numpy() for name, tensor in inputs})
        expected = head.outputs(model(task.name, sentences))
        for name, one, other in zip(graph.output_names, got, expected, strict=True):
            other_array = other.numpy()
            if one.shape != other_array.shape:
                return f"{name} has the shape {one.shape}, the model's {other_array.shape}"
            if not np.allclose(one, other_array, rtol=TOLERANCE, atol=TOLERANCE):
                furthest = np.abs(one - other_array).max()
                return f"{name} differs from the model's by up to {furthest:.2g}, allowed is {TOLERANCE:g}"
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporters' progress, warnings and log."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
