"""Batches of rows of like length, the same for any number of workers, each of which gets its share of every batch."""

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from queue import Full, Queue
from threading import Event, Thread
from typing import Literal

import numpy as np
import torch

from mtbert_ray.data.encoding import EMBEDDING, EmbeddedSplit, EncodedSplit, TokenBatch

Split = EncodedSplit | EmbeddedSplit
_PLACES = "places"
_DEPTH = 4
"""Batches that are ready: enough for an uneven pace, and next to no memory."""
_POLL_SECONDS = 0.1
BATCHES_PER_POOL = 50
"""Rows are sorted by length within pools of so many batches: enough for little padding, and still a random draw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """A rank's rows of one batch of one task."""

    task: str
    sentences: tuple[TokenBatch, ...]
    """One; two for a pair that is encoded separately."""
    labels: torch.Tensor | None
    """(B,) float32; none for a test split."""
    rows: torch.Tensor
    """(B,) int64: positions in the split."""
    weights: torch.Tensor
    """(B,) float32. The sum of weights * loss, averaged over the ranks, is the mean loss of the global batch."""

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device, without waiting for the copies.

        There each sequence of a separate pair also has its tokens' `places`, (T,): where the mask is not 0 among its
        B * L numbers, so that nobody has to wait for the device to count them.
        """
        return self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Return the batch in page-locked memory, as for `to`."""
        return self._with_each(torch.Tensor.pin_memory)

    def _with_each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        is_pair = len(self.sentences) > 1
        return replace(
            self,
            sentences=tuple(
                {name: change(tensor) for name, tensor in (_with_places(tokens) if is_pair else tokens).items()}
                for tokens in self.sentences
            ),
            labels=None if self.labels is None else change(self.labels),
            rows=change(self.rows),
            weights=change(self.weights),
        )

    def split(self, parts: int) -> tuple["Batch", ...]:
        """Cut the rows into at most so many batches of like size, each padded to its own longest row.

        The weights stay, so the parts' sums of weights * loss add up to the whole batch's. The parts are copies in
        ordinary memory.
        """
        if parts == 1:
            return (self,)
        # The rows are in the order of their lengths, so neighbors together need the least padding.
        pieces = [piece for piece in torch.tensor_split(torch.arange(len(self.rows)), parts) if len(piece)]
        return tuple(
            replace(
                self,
                sentences=tuple(
                    # A piece has other places.
                    _trimmed({name: t[piece] for name, t in tokens.items() if name != _PLACES})
                    for tokens in self.sentences
                ),
                labels=None if self.labels is None else self.labels[piece],
                rows=self.rows[piece],
                weights=self.weights[piece],
            )
            for piece in pieces
        )


def _with_places(tokens: TokenBatch) -> TokenBatch:
    if EMBEDDING in tokens or _PLACES in tokens:
        return tokens
    return tokens | {_PLACES: tokens["attention_mask"].flatten().nonzero().squeeze(1)}


def _trimmed(tokens: TokenBatch) -> TokenBatch:
    """Remove the columns that are padding in every row; an embedding has none."""
    if EMBEDDING in tokens:
        return tokens
    widest = int(tokens["attention_mask"].sum(dim=1).max())
    return {name: tensor[:, :widest] for name, tensor in tokens.items()}


def num_steps(splits: Mapping[str, Split], *, batch_size: int) -> int:
    """Return the steps of an epoch over all tasks, the same for every rank."""
    return sum(-(-len(split) // batch_size) for split in splits.values())


def epoch_batches(
    splits: Mapping[str, Split],
    *,
    batch_size: int,
    task_order: Literal["sequential", "proportional"],
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
) -> Generator[Batch]:
    """Yield a rank's share of every batch of an epoch, which has every row of every task once.

    The global batches and their order depend on `seed` and `epoch` only; a task's batches do not depend on other tasks.
    Rank r of w takes rows r, r + w, ... of each, so the shares have like lengths. DDP averages gradients over ranks, so
    each row weighs w / (rows of the global batch) in its rank's sum of losses. A rank that would get no row of a short
    last batch gets the first one with weight 0: all ranks do equally many steps. The
    task order `sequential` takes the tasks one after another, as in `splits`; `proportional` shuffles their batches
    together. The last batch of a task may be smaller than `batch_size`.
    """
    assert 0 <= rank < world_size, f"rank {rank} of {world_size}"
    plan = [
        (task, rows)
        for task, split in splits.items()
        for rows in _bucketed(split.lengths, batch_size, _generator(seed, epoch, task))
    ]
    order = np.arange(len(plan))
    if task_order == "proportional":
        order = _generator(seed, epoch, "order of all batches").permutation(len(plan))
    for index in order:
        task, global_rows = plan[index]
        rows = global_rows[rank::world_size]
        weight = world_size / len(global_rows)
        if not len(rows):
            rows, weight = global_rows[:1], 0.0
        yield _batch(splits[task], task, rows, weight)


def eval_batches(
    split: Split, *, task: str, max_tokens: int = 8192, rank: int = 0, world_size: int = 1
) -> Iterator[Batch]:
    """Yield a rank's share of a split in large batches of like length, the longest first.

    Every row is in exactly one batch of one rank. Ranks may get a different number of batches, so nothing may wait for
    the other ranks in each batch. `max_tokens` bounds the padded tokens of a batch; one row is always allowed. Every
    row weighs 1 / B.
    """
    assert 0 <= rank < world_size, f"rank {rank} of {world_size}"
    for rows in _filled(split, max_tokens)[rank::world_size]:
        yield _batch(split, task, rows, 1.0 / len(rows))


def _batch(split: Split, task: str, rows: np.ndarray, weight: float) -> Batch:
    positions = torch.from_numpy(np.ascontiguousarray(rows))
    return Batch(
        task=task,
        sentences=split.sentences(rows),
        labels=None if split.labels is None else split.labels[positions],
        rows=positions,
        weights=torch.full((len(rows),), weight, dtype=torch.float32),
    )


def _generator(seed: int, epoch: int, purpose: str) -> np.random.Generator:
    """Return an independent stream for each seed, epoch and purpose."""
    return np.random.default_rng([seed, epoch, zlib.crc32(purpose.encode())])


def _bucketed(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffle the rows, sort them by length within pools, cut them into batches, shuffle the batches."""
    rows = rng.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(rows), BATCHES_PER_POOL * batch_size):
        pool = rows[start : start + BATCHES_PER_POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[cut : cut + batch_size] for cut in range(0, len(pool), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def _filled(split: Split, max_tokens: int) -> list[np.ndarray]:
    """Sort the rows, longest first, and fill each batch until its padded tokens would pass `max_tokens`."""
    order = np.argsort(-split.lengths, kind="stable")
    widths = np.stack(split.widths, axis=1)[order]
    batches: list[np.ndarray] = []
    start, widest = 0, widths[:1].max(axis=0)
    for position, width in enumerate(widths):
        widest = np.maximum(widest, width)
        if position > start and (position - start + 1) * int(widest.sum()) > max_tokens:
            batches.append(order[start:position])
            start, widest = position, width
    batches.append(order[start:])
    return batches


def prefetched(batches: Iterable[Batch], device: torch.device) -> Generator[Batch]:
    """Yield the same batches in the same order, made in a thread that runs ahead; close it to end the thread.

    Exceptions of `batches` are raised here. For a GPU, batches are put into page-locked memory, from which a copy does
    not wait.
    """
    ready: Queue[Batch | BaseException | None] = Queue(_DEPTH)
    closed = Event()
    thread = Thread(target=_fill, args=(ready, batches, device, closed), name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()


def _fill(
    ready: "Queue[Batch | BaseException | None]", batches: Iterable[Batch], device: torch.device, closed: Event
) -> None:
    end: BaseException | None = None
    try:
        if device.type == "cuda":
            # Every thread begins with the first GPU, which page-locking would make a context on.
            torch.cuda.set_device(device)
        for batch in batches:
            _put(ready, batch.pinned() if device.type == "cuda" else batch, closed)
            if closed.is_set():
                return
    except BaseException as error:  # For the reading thread, which would wait forever.
        end = error
    _put(ready, end, closed)


def _put(ready: "Queue[Batch | BaseException | None]", item: Batch | BaseException | None, closed: Event) -> None:
    """Wait for room, unless the reader is gone."""
    while not closed.is_set():
        try:
            return ready.put(item, timeout=_POLL_SECONDS)
        except Full:
            continue
