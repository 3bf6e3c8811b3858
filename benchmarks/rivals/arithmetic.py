"""How many operations a training step needs, so that a rate can be held against what a GPU can do.

A linear layer of P weights takes 2 P operations a token forwards and 4 P backwards (by its inputs and by its weights),
so full fine-tuning takes 6 P a token, and a frozen layer under adapters 4 P, over the linear layers of the encoder;
real tokens count, padding does not.
Left out are attention's own products, embeddings, norms and heads: under 1% at the lengths of these tasks.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mtbert_ray.data.encoding import EncodedSplit
from mtbert_ray.models.encoder import Encoder

PEAK_TFLOPS = {"A100": 312.0, "H100": 989.0, "H200": 989.0}
"""Dense bf16 with float32 sums, as the makers' data sheets give it, by a part of the GPU's name."""

PAPER_EPOCHS = 20
PAPER_EXAMPLES = 5_950_000
"""Of all epochs together, in 46,540 steps of 128."""


class PaperRun(NamedTuple):
    """What the paper prints of one run (its table 7: one A100, batch 128)."""

    minutes: float
    peak_mb: float
    """Of GPU memory, as NVML counts it."""


PAPER_RUNS = {"none": PaperRun(123, 4750.8), "lora": PaperRun(113, 2963), "dora": PaperRun(148, 3503)}
"""By the kind of adapter; none is full fine-tuning."""


def flops_of_row(encoder: Encoder, split: EncodedSplit) -> float:
    """Return the operations that training needs for a row, in the mean over a split."""
    needed = sum(
        layer.weight.numel() * (6 if layer.weight.requires_grad else 4)
        for name, layer in encoder.named_modules()
        # The pooling layer sees one token a sequence.
        if isinstance(layer, nn.Linear) and "pooler" not in name
    )
    return needed * float(np.mean(split.lengths))


def peak_tflops(device: torch.device) -> float | None:
    """Return the peak of a GPU that is known, in bf16."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


def utilization(rows_per_second: float, flops_of_a_row: float, peak: float) -> float:
    """Return the share of the peak (in TFLOP/s) that the needed operations are."""
    return rows_per_second * flops_of_a_row / (peak * 1e12)


def paper_run_minutes(rows_per_second: float) -> float:
    """Return how long the paper's 20 epochs of three tasks would take; 95% of their rows are Quora's."""
    return PAPER_EXAMPLES / rows_per_second / 60
