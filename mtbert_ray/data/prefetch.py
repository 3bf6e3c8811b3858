"""Makes batches ready in a thread, ahead of the device that computes on them. Knows no training."""

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread

import torch

from mtbert_ray.data.batching import Batch

_DEPTH = 4
"""Batches that wait: enough for an uneven pace, and next to no memory."""
_POLL_SECONDS = 0.1


def prefetched(batches: Iterable[Batch], device: torch.device) -> Generator[Batch]:
    """Yield the same batches in the same order, made in a thread that runs ahead; close it to end the thread.

    Args:
        batches: what they come from; its exceptions are raised here.
        device: for a GPU they are put into page-locked memory, from which a copy does not wait.
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
    except BaseException as error:  # For the thread that asks, which would wait for ever.
        end = error
    _put(ready, end, closed)


def _put(ready: "Queue[Batch | BaseException | None]", item: Batch | BaseException | None, closed: Event) -> None:
    """Wait for room, but not for a reader that has gone."""
    while not closed.is_set():
        try:
            return ready.put(item, timeout=_POLL_SECONDS)
        except Full:
            continue
