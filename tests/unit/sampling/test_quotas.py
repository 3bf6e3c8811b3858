"""Quotas by largest remainder, and which rows they keep, on cases solved by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.sampling.sample import likeliest, quotas, select

PAPER = (0.25, 0.25, 0.15, 0.11, 0.08, 0.06, 0.05, 0.02, 0.02, 0.01)


@pytest.mark.parametrize(
    ("shares", "num_rows", "expected"),
    [
        (PAPER, 10_000, [2500, 2500, 1500, 1100, 800, 600, 500, 200, 200, 100]),
        ((0.5, 0.3, 0.2), 7, [4, 2, 1]),  # 3.5, 2.1, 1.4: the half is the largest remainder
        ((0.4, 0.4, 0.2), 4, [2, 1, 1]),  # 1.6, 1.6, 0.8: to the last first, then to the first of two equal ones
        ((1 / 3, 1 / 3, 1 / 3), 1, [1, 0, 0]),
        ((0.29, 0.71), 100, [29, 71]),  # 0.29 * 100 is 28.999999999999996
        ((0.0, 1.0), 3, [0, 3]),
    ],
)
def test_the_largest_remainders_get_what_is_left(shares, num_rows, expected):
    assert quotas(shares, num_rows) == expected


@given(
    weights=st.lists(st.floats(min_value=1e-3, max_value=1), min_size=2, max_size=12),
    num_rows=st.integers(min_value=1, max_value=100_000),
)
def test_quotas_sum_to_the_rows_and_are_off_by_less_than_one(weights, num_rows):
    shares = [weight / sum(weights) for weight in weights]
    got = quotas(shares, num_rows)
    assert sum(got) == num_rows
    assert all(abs(quota - share * num_rows) < 1 + 1e-6 for quota, share in zip(got, shares, strict=True))


CONFIDENCE = np.array(
    [
        [0.6, 0.3, 0.1],
        [0.2, 0.7, 0.1],
        [0.8, 0.1, 0.1],
        [0.6, 0.2, 0.2],
        [0.4, 0.4, 0.2],  # a tie of topics: the first one's
        [0.9, 0.05, 0.05],
        [0.3, 0.5, 0.2],
    ]
)


def test_each_topic_keeps_its_most_confident_rows():
    assert likeliest(CONFIDENCE).tolist() == [0, 1, 0, 0, 0, 0, 1]
    assert [rows.tolist() for rows in select(CONFIDENCE, [2, 1, 0])] == [[5, 2], [1], []]


def test_equally_confident_rows_keep_their_order():
    assert select(CONFIDENCE, [4, 0, 0])[0].tolist() == [5, 2, 0, 3]
    same = np.tile([0.7, 0.3], (50, 1))
    assert select(same, [20, 0])[0].tolist() == list(range(20))


def test_a_short_topic_takes_what_there_is_and_no_other_fills_up():
    kept = select(CONFIDENCE, [3, 4, 2])
    assert [rows.tolist() for rows in kept] == [[5, 2, 0], [1, 6], []]


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_no_row_is_kept_twice_or_for_another_topic(seed):
    confidence = np.random.default_rng(seed).dirichlet(np.ones(4), size=60)
    kept = select(confidence, [10, 5, 30, 15])
    rows = np.concatenate(kept)
    assert len(set(rows.tolist())) == len(rows)
    for topic, chosen in enumerate(kept):
        assert (likeliest(confidence)[chosen] == topic).all()
        left_out = np.setdiff1d(np.flatnonzero(likeliest(confidence) == topic), chosen)
        if len(left_out) and len(chosen):
            assert confidence[left_out, topic].max() <= confidence[chosen, topic].min()
