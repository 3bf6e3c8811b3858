"""The embedding cache: a frozen encoder embeds each split once, so that later epochs cost what the heads cost.

The cache belongs to one run and is never kept for another: a trial that found it filled would look cheaper than the
one that filled it.
"""

import logging
from collections.abc import Mapping, Sequence

import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.data.batching import Split, eval_batches
from mtbert_ray.data.encoding import EmbeddedSplit
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.resources.node_memory import node_memory
from mtbert_ray.training.process import Process

# N rows, D width

_log = logging.getLogger(__name__)
_MAX_SHARE = 0.5
"""Of the memory that is free, for the embeddings of all splits of a rank."""
_BYTES = 4


def can_cache_embeddings(
    model: MultitaskModel, config: TrialConfig, splits: Sequence[Split], *, free_bytes: int | None = None
) -> bool:
    """Return whether the encoder's outputs are the same in every epoch, and fit into memory.

    They are the same where the encoder is frozen, which puts it into eval mode, and SMART does not perturb its input.
    If only memory is missing, the log warns. `splits` are all that would be cached, for training and evaluation.
    """
    if not model.encoder_is_frozen or config.smart.tasks:
        return False
    needed = sum(len(split) * len(split.widths) for split in splits) * model.encoder.width * _BYTES
    free = node_memory().available if free_bytes is None else free_bytes
    if needed > _MAX_SHARE * free:
        _log.warning(
            "the embedding cache would take %.1f of %.1f GiB of free memory, so the frozen encoder runs in every "
            "epoch, which is many times slower; set data.max_train_rows to train on fewer rows",
            needed / 2**30,
            free / 2**30,
        )
        return False
    return True


@torch.no_grad()  # Not inference mode: the heads' gradients need these tensors.
def cache_embeddings(
    model: MultitaskModel, splits: Mapping[str, Split], process: Process, *, bf16: bool
) -> dict[str, EmbeddedSplit]:
    """Return the splits with an embedding in place of each sequence, on the CPU of every rank.

    The encoder must be frozen. The ranks share the rows.
    """
    assert model.encoder_is_frozen, "trained weights change"
    model.eval()
    cached = {}
    for task, split in splits.items():
        # Each rank fills its own rows; the sum over ranks puts them together with one collective a sequence.
        embeddings = [torch.zeros(len(split), model.encoder.width, device=process.device) for _ in split.widths]
        for batch in eval_batches(split, task=task, rank=process.rank, world_size=process.world_size):
            on_device = batch.to(process.device)
            with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=bf16):
                parts = model.embed(on_device.sentences)
            for embedding_ND, part_BD in zip(embeddings, parts, strict=True):
                embedding_ND[on_device.rows] = part_BD.float()
        cached[task] = EmbeddedSplit(split, tuple(process.sum(embedding_ND).cpu() for embedding_ND in embeddings))
    return cached
