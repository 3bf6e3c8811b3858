"""Batches made ahead in a thread: the same ones in the same order, and a thread that always ends."""

import threading

import pytest
import torch

from mtbert_ray.data.batching import Batch, prefetched

CPU = torch.device("cpu")


def batch(number: int) -> Batch:
    return Batch(task="sst", sentences=(), labels=None, rows=torch.tensor([number]), weights=torch.ones(1))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "batches"]


def test_the_same_batches_in_the_same_order():
    batches = [batch(number) for number in range(50)]
    assert all(a is b for a, b in zip(prefetched(iter(batches), CPU), batches, strict=True))
    assert not threads()


def test_they_are_made_ahead_but_not_all_at_once():
    made, some = [], threading.Event()

    def making():
        for number in range(100):
            made.append(number)
            if number == 3:
                some.set()
            yield batch(number)

    batches = prefetched(making(), CPU)
    next(batches)
    assert some.wait(timeout=30)
    batches.close()
    assert 4 <= len(made) <= 10 and not threads()


def test_what_goes_wrong_is_raised_where_the_batch_is_asked_for():
    def failing():
        yield batch(0)
        raise ValueError("a damaged row")

    batches = prefetched(failing(), CPU)
    assert next(batches).rows.item() == 0
    with pytest.raises(ValueError, match="a damaged row"):
        next(batches)
    assert not threads()


def test_no_batches():
    assert list(prefetched([], CPU)) == []
