"""One task's encoder and head as an ONNX file, compared with the model under onnxruntime.

With onnx, onnxscript and onnxruntime, the packages of the `onnx` extra.
"""

# B batch, L tokens, C classes

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtbert_ray.models.heads import Head
from mtbert_ray.models.multitask import MultitaskModel, TokenBatch
from mtbert_ray.tasks import TaskSpec

TOLERANCE = 1e-4
"""What outputs may differ by from the model's, absolutely or in proportion."""
_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class NotExportedError(Exception):
    """No exporter made a file that computes what the model does; says why."""


class TaskGraph(nn.Module):
    """What a file computes: tokens in, a task's logits and probabilities out, or its number.

    In PyTorch's plain operations: the sequences of a pair that is encoded separately have a padded forward each.

    Args:
        model: in eval mode, its adapter merged.
        task: whose head answers.
        num_sequences: of a row: two of a pair that is encoded separately.
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
        """`input_ids` and so on, each (B, L) int64; with `_1` and `_2` behind them where there are two sequences."""
        self.output_names = ["prediction"] if task.kind.is_regression else ["probabilities", "logits"]
        """`prediction` (B,), or `probabilities` and `logits`, (B, C) each; float32."""
        self.axes: list[dict[int, str]] = [{0: "batch", 1: f"length{end}"} for end in ends for _ in self._keys]
        """Of each input the names of the dimensions that may vary."""

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
    *,
    exporters: Sequence[str] | None = None,
) -> TaskGraph:
    """Write a task's file and return what it computes. What was checked to differ is not left behind.

    Args:
        path: of the file. What is larger than 2 GB has its weights in a second file, `NAME.onnx.data`.
        model: on the CPU, in eval mode, its adapter merged.
        task: whose head answers.
        batches: the first is the example that is exported, of two rows at least; the others, of other numbers of rows
            and lengths, are what the file is compared with the model on.
        exporters: names of EXPORTERS in the order in which they are tried; none takes all.

    Raises:
        NotExportedError: no exporter can, or what it made does not compute the same.
    """
    graph = TaskGraph(model, task, num_sequences=len(batches[0])).eval()
    reasons = []
    for name in exporters or EXPORTERS:
        try:
            with _quiet():
                EXPORTERS[name](graph, graph.inputs_of(batches[0]), path)
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
        dynamo=True,
        dynamic_shapes=(tuple(graph.axes),),
        external_data=False,
        verbose=False,
        **_names(graph),
    )


def _by_tracing(graph: TaskGraph, example: tuple[Tensor, ...], path: Path) -> None:
    axes = dict(zip(graph.input_names, graph.axes, strict=True)) | {name: {0: "batch"} for name in graph.output_names}
    torch.onnx.export(graph, example, str(path), dynamo=False, dynamic_axes=axes, opset_version=18, **_names(graph))


def _names(graph: TaskGraph) -> dict[str, Any]:
    return {"input_names": graph.input_names, "output_names": graph.output_names}


EXPORTERS: dict[str, Callable[[TaskGraph, tuple[Tensor, ...], Path], None]] = {
    "torch.export": _by_export,
    "torch.jit.trace": _by_tracing,
}
"""PyTorch's exporter, and its older one for what that cannot do."""


@torch.inference_mode()
def _difference(
    path: Path, graph: TaskGraph, model: MultitaskModel, task: TaskSpec, batches: Sequence[tuple[TokenBatch, ...]]
) -> str | None:
    """Return how a file's outputs differ from the model's, none where they are equal."""
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
    """Keep the exporters' progress, warnings and notes off the screen; what matters of them is checked."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
