"""Embeds a split once with a frozen encoder, so that an epoch costs what the heads cost.

The embeddings are of this run alone and never kept for another: a trial that found them made would look cheaper than
the one that made them.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil
import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.batching import Split, eval_batches
from mtbert_ray.data.encoding import EmbeddedSplit
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.process import Process

# N rows, D width

_log = logging.getLogger(__name__)
_MAX_SHARE = 0.5
"""Of the memory that is free, for the embeddings of all splits of a rank."""
_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class OnceSeconds:
    """Wall time of what a run does once; zero where it does everything in every epoch."""

    train: float = 0.0
    """On the rows to train on."""
    eval: float = 0.0
    """On the dev rows."""


def embeds_once(
    model: MultitaskModel, config: TrialConfig, splits: Sequence[Split], *, free_bytes: int | None = None
) -> bool:
    """Return whether the encoder's outputs can be computed once: it is frozen, and nothing perturbs its input.

    Warns in the log where only memory is in the way.

    Args:
        model: a frozen encoder is in eval mode, so that its outputs are the same in every epoch.
        config: SMART perturbs the encoder's input.
        splits: all that are to be embedded, those to train on and those to score.
        free_bytes: of memory; none asks the machine.
    """
    if not model.encoder_is_frozen or config.smart.tasks:
        return False
    needed = sum(len(split) * len(split.widths) for split in splits) * model.encoder.width * _BYTES
    free = psutil.virtual_memory().available if free_bytes is None else free_bytes
    if needed > _MAX_SHARE * free:
        _log.warning(
            "the frozen encoder's outputs would take %.1f GiB of the %.1f GiB that are free, so they are computed anew "
            "in every epoch, which is many times slower; set data.max_train_rows to train on fewer rows",
            needed / 2**30,
            free / 2**30,
        )
        return False
    return True


@torch.no_grad()  # Not inference mode: the heads' gradients need these tensors.
def embedded(
    model: MultitaskModel, splits: Mapping[str, Split], process: Process, *, bf16: bool
) -> dict[str, EmbeddedSplit]:
    """Return the splits with an embedding in the place of each sequence, on the CPU of every rank.

    Args:
        model: with a frozen encoder.
        splits: by task.
        process: the ranks share the rows.
        bf16: whether the forward pass is autocast to bfloat16.
    """
    assert model.encoder_is_frozen, "what is trained changes"
    model.eval()
    return {
        task: EmbeddedSplit(split, _embeddings(model, split, task, process, bf16)) for task, split in splits.items()
    }


def _embeddings(
    model: MultitaskModel, split: Split, task: str, process: Process, bf16: bool
) -> tuple[torch.Tensor, ...]:
    # Each rank fills its own rows; the sum over ranks puts them together with one collective a sequence.
    embeddings = [torch.zeros(len(split), model.encoder.width, device=process.device) for _ in split.widths]
    for batch in eval_batches(split, task=task, rank=process.rank, world_size=process.world_size):
        on_device = batch.to(process.device)
        with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=bf16):
            parts = model.embed(on_device.sentences)
        for embedding_ND, part_BD in zip(embeddings, parts, strict=True):
            embedding_ND[on_device.rows] = part_BD.float()
    return tuple(process.sum(embedding_ND).cpu() for embedding_ND in embeddings)
