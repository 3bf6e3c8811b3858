"""Noise belongs to its row, whatever batch and process it comes in, and is normal."""

import torch
from scipy import stats

from mtbert_ray.training.smart import normal_noise


def test_the_numbers_are_standard_normal_and_independent():
    noise = normal_noise("a key", torch.arange(200), length=25, width=40).double()
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 0.01
    # Neighbouring columns, places and rows: the correlation of 200,000 independent pairs is below 0.01.
    for pair in ((noise[..., 1:], noise[..., :-1]), (noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1])):
        first, second = (part.flatten().numpy() for part in pair)
        assert abs(stats.pearsonr(first, second).statistic) < 0.01


def test_a_row_s_noise_does_not_depend_on_its_batch():
    rows = torch.tensor([7, 3, 2**40, 0])
    together = normal_noise("a key", rows, length=6, width=8)
    alone = normal_noise("a key", rows[2:3], length=4, width=8)
    assert torch.equal(together[2:3, :4], alone)


def test_keys_and_rows_have_noise_of_their_own():
    rows = torch.tensor([0, 1])
    one, other = (normal_noise(key, rows, length=3, width=8) for key in ("epoch 1", "epoch 2"))
    assert torch.equal(one, normal_noise("epoch 1", rows, length=3, width=8))
    assert not torch.isclose(one, other).any()
    assert not torch.isclose(one[0], one[1]).any()
