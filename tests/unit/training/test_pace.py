"""The projected seconds of remaining steps: closed forms and invariants."""

import numpy as np
import pytest
import torch
from clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from mtbert_ray.data.batching import Batch
from mtbert_ray.training.probe import Pace


def batch(task: str, *rows: int) -> Batch:
    positions = torch.tensor(rows)
    return Batch(task=task, sentences=(), labels=None, rows=positions, weights=torch.ones(len(rows)))


def timed(pace: Pace, batches: list[Batch], seconds: list[float]) -> Pace:
    """Time the steps of these batches."""
    clock = Clock()
    for _, step_seconds in zip(pace.timed(batches, clock), seconds, strict=True):
        clock.at += step_seconds
    return pace


LENGTHS = {"sst": np.array([4, 6, 10, 20, 30, 50]), "sts": np.array([8, 8, 24, 40])}


@pytest.mark.parametrize(("by_step", "by_token"), [(0.0, 0.01), (0.5, 0.0), (0.5, 0.01)])
def test_steps_on_a_line_are_projected_exactly(by_step, by_token):
    """Whether a step's time is all in its tokens, all in itself, or in both."""
    pace = Pace(LENGTHS, batch_size=1, epochs=3)
    for _ in pace.counted([batch("sst", 5), batch("sts", 3)]):
        pass
    taken = [("sst", 0), ("sst", 2), ("sts", 0), ("sst", 3), ("sts", 2)]
    slower = {"sst": 1.0, "sts": 4.0}
    costs = [slower[task] * (by_step + by_token * LENGTHS[task][row]) for task, row in taken]
    timed(pace, [batch(task, row) for task, row in taken], costs)
    left = {"sst": (18 - 4, 360 - 50 - 34), "sts": (12 - 3, 240 - 40 - 32)}
    expected = sum(slower[task] * (by_step * steps + by_token * tokens) for task, (steps, tokens) in left.items())
    assert pace.seconds_left() == pytest.approx(expected, rel=1e-9)


def test_one_step_s_time_is_all_its_tokens():
    pace = timed(Pace(LENGTHS, batch_size=2, epochs=1), [batch("sst", 0, 1), batch("sts", 0, 1)], [1.0, 8.0])
    assert pace.seconds_left() == pytest.approx(110 * (1.0 / 10) + 64 * (8.0 / 16))


def test_a_task_without_a_timed_step_takes_the_pace_of_all_steps():
    lengths = {"slow": np.array([10, 20]), "fast": np.array([10, 20]), "unseen": np.array([30, 50])}
    pace = Pace(lengths, batch_size=1, epochs=1)
    timed(pace, [batch(task, row) for task in ("slow", "fast") for row in (0, 1)], [3.0, 6.0, 1.0, 2.0])
    assert pace.seconds_left() == pytest.approx(80 * 12 / 60)


@pytest.mark.parametrize(("regularized", "is_known"), [((), True), (("sts",), False), (("sst", "sts"), True)])
def test_a_task_that_is_trained_in_another_way_than_the_timed_ones_has_no_projection(regularized, is_known):
    pace = Pace(LENGTHS, batch_size=2, epochs=1, regularized=regularized)
    timed(pace, [batch("sst", 0, 1)], [1.0])
    assert (pace.seconds_left() is not None) is is_known


@settings(max_examples=60)
@given(data=st.data())
def test_an_epoch_like_the_timed_one_takes_as_long(data):
    """Whatever its steps took: the mean is kept, and with it an outlier."""
    tokens, seconds = st.integers(2, 128), st.floats(1e-3, 1e3)
    lengths = {
        task: np.array(data.draw(st.lists(tokens, min_size=1, max_size=8), label=task)) for task in ("sst", "sts")
    }
    batches = [batch(task, row) for task, of_rows in lengths.items() for row in range(len(of_rows))]
    took = [data.draw(seconds) for _ in batches]
    pace = timed(Pace(lengths, batch_size=1, epochs=2), batches, took)
    assert pace.seconds_left() == pytest.approx(sum(took), rel=1e-6)


def test_a_rank_without_a_row_of_the_last_batch_owes_no_less_than_nothing():
    """Three rows in batches of two leave one for two ranks: the second one takes the first one's row, for nothing."""
    pace = Pace({"sst": np.array([10, 10, 10])}, batch_size=2, epochs=1, world_size=2)
    timed(pace, [batch("sst", 1), batch("sst", 2)], [1.0, 1.0])
    assert pace.seconds_left() == 0.0
