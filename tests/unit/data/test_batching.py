from collections import Counter

import numpy as np
import pytest
import torch

from mtbert_ray.data.batching import Batch, epoch_batches, eval_batches, num_steps


@pytest.fixture
def splits(make_split):
    """Three tasks of odd sizes with lengths spread as in real text: log-normal, median 22, 95% under 55."""
    rng = np.random.default_rng(3)

    def lengths(count):
        return np.clip(rng.lognormal(np.log(22), 0.55, size=count), 1, 150).astype(int)

    return {
        "sst": make_split(lengths(333)),
        "quora": make_split(lengths(1001), lengths(1001)),
        "sts": make_split(lengths(130), lengths(130), pair_encoding="separate"),
    }


def batches_of(splits, **options):
    return list(
        epoch_batches(splits, **{"batch_size": 16, "task_order": "proportional", "seed": 5, "epoch": 0} | options)
    )


def rows_of(batches) -> list[tuple[str, tuple[int, ...]]]:
    return [(batch.task, tuple(batch.rows.tolist())) for batch in batches]


def test_an_epoch_meets_every_row_once(splits):
    batches = batches_of(splits)
    met = Counter((batch.task, row) for batch in batches for row in batch.rows.tolist())
    assert met == Counter((task, row) for task, split in splits.items() for row in range(len(split)))
    assert len(batches) == num_steps(splits, batch_size=16) == 21 + 63 + 9


def test_labels_and_tokens_are_those_of_the_rows(splits):
    for batch in batches_of(splits):
        assert batch.labels.dtype == torch.float32
        assert batch.labels.tolist() == batch.rows.tolist(), "the fixture's labels are the row numbers"
        assert len(batch.sentences) == (2 if batch.task == "sts" else 1)
        for tokens, again in zip(batch.sentences, splits[batch.task].sentences(batch.rows.numpy()), strict=True):
            assert all(torch.equal(tokens[name], again[name]) and tokens[name].dtype == torch.int64 for name in tokens)


@pytest.mark.parametrize("world_size", [2, 3, 16])
@pytest.mark.parametrize("task_order", ["sequential", "proportional"])
def test_the_ranks_share_each_global_batch_whatever_their_number(splits, world_size, task_order):
    whole = batches_of(splits, task_order=task_order)
    ranks = [batches_of(splits, task_order=task_order, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(batches) for batches in ranks} == {len(whole)}
    for step, batch in enumerate(whole):
        shares = [batches[step] for batches in ranks]
        assert {share.task for share in shares} == {batch.task}
        counted = [
            row
            for share in shares
            for row, weight in zip(share.rows.tolist(), share.weights.tolist(), strict=True)
            if weight
        ]
        assert sorted(counted) == sorted(batch.rows.tolist())


@pytest.mark.parametrize("world_size", [1, 2, 5, 16])
def test_weighted_losses_averaged_over_ranks_are_the_global_mean(splits, world_size):
    """Each row's loss is a fixed random number; DDP averages what the ranks sum."""
    losses = {task: torch.rand(len(split), generator=torch.manual_seed(0)) for task, split in splits.items()}
    ranks = [batches_of(splits, rank=rank, world_size=world_size) for rank in range(world_size)]
    for batch, *shares in zip(batches_of(splits), *ranks, strict=True):
        mean = torch.stack([(share.weights * losses[share.task][share.rows]).sum() for share in shares]).mean()
        torch.testing.assert_close(mean, losses[batch.task][batch.rows].mean())


def test_a_rank_without_a_row_gets_one_of_weight_zero(make_split):
    splits = {"tiny": make_split([5, 9, 7])}
    (share,) = batches_of(splits, batch_size=8, rank=5, world_size=8)
    assert len(share.rows) == 1 and share.weights.tolist() == [0.0]


def test_seed_and_epoch_decide_all_and_nothing_else_does(splits):
    first = rows_of(batches_of(splits))
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002  the global generator is what must not matter
    assert rows_of(batches_of(splits)) == first
    assert rows_of(batches_of(splits, epoch=1)) != first
    assert rows_of(batches_of(splits, seed=6)) != first


def test_a_tasks_batches_do_not_depend_on_the_other_tasks(splits):
    alone = rows_of(batches_of({"sts": splits["sts"]}, task_order="sequential"))
    among = [entry for entry in rows_of(batches_of(splits, task_order="sequential")) if entry[0] == "sts"]
    assert alone == among


def test_orders_of_the_tasks(splits):
    def tasks_in_order(**options):
        return [batch.task for batch in batches_of(splits, **options)]

    assert tasks_in_order(task_order="sequential") == ["sst"] * 21 + ["quora"] * 63 + ["sts"] * 9
    mixed = tasks_in_order()
    assert Counter(mixed) == Counter(tasks_in_order(task_order="sequential"))
    # In proportion all along: each half has about half of every task's batches.
    assert 20 <= Counter(mixed[:46])["quora"] <= 43 and Counter(mixed[:46])["sst"] >= 4


def test_length_buckets_leave_little_padding(make_split):
    rng = np.random.default_rng(11)
    lengths = np.clip(rng.lognormal(np.log(22), 0.5, size=8000), 1, 150).astype(int)
    splits = {"sst": make_split(lengths)}
    batches = batches_of(splits, batch_size=32)
    padded = sum(batch.sentences[0]["input_ids"].numel() for batch in batches)
    real = sum(int(batch.sentences[0]["attention_mask"].sum()) for batch in batches)
    assert real == (lengths + 2).sum()
    assert padded / real < 1.15


def test_batches_of_an_epoch_do_not_grow_with_time(splits):
    """Bucketing sorts within pools; the order of the batches must not be sorted by length."""
    widths = [batch.sentences[0]["input_ids"].shape[1] for batch in batches_of({"quora": splits["quora"]})]
    assert abs(np.corrcoef(np.arange(len(widths)), widths)[0, 1]) < 0.5


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_evaluation_meets_every_row_once_over_all_ranks(splits, task, world_size):
    shares = [
        list(eval_batches(splits[task], task=task, max_tokens=1000, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    met = Counter(row for batches in shares for batch in batches for row in batch.rows.tolist())
    assert met == Counter(range(len(splits[task])))
    for batch in (batch for batches in shares for batch in batches):
        padded = sum(tokens["input_ids"].numel() for tokens in batch.sentences)
        assert padded <= 1000 or len(batch.rows) == 1
        assert float(batch.weights.sum()) == pytest.approx(1)
    if world_size == 1:
        sizes = [len(batch.rows) for batch in shares[0]]
        assert sizes[0] <= min(sizes[:-1]), "the longest rows come first"


def test_evaluation_of_one_row_longer_than_the_bound(make_split):
    split = make_split([400, 10, 10], labeled=False)
    batches = list(eval_batches(split, task="sst", max_tokens=100))
    assert [batch.rows.tolist() for batch in batches] == [[0], [1, 2]]
    assert all(batch.labels is None for batch in batches)


def test_a_batch_moves_to_a_device_whole(splits):
    batch = batches_of(splits)[0].to("meta")
    tensors = [batch.labels, batch.rows, batch.weights, *batch.sentences[0].values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_on_a_device_the_sequences_of_a_pair_have_the_places_of_their_tokens():
    mask_BL = torch.tensor([[1, 1, 0], [1, 1, 1]])
    tokens = {"input_ids": mask_BL, "attention_mask": mask_BL, "token_type_ids": mask_BL}
    rows = torch.arange(2)
    single, pair = (
        Batch(task="a", sentences=sentences, labels=None, rows=rows, weights=torch.ones(2)).to("cpu")
        for sentences in ((tokens,), (tokens, tokens))
    )
    assert [list(each["places"]) for each in pair.sentences] == [[0, 1, 3, 4, 5]] * 2
    assert "places" not in single.sentences[0]
    assert "places" not in tokens


@pytest.mark.parametrize("parts", [1, 2, 3, 16, 40])
def test_the_parts_of_a_batch_are_the_batch(splits, parts):
    for batch in batches_of(splits)[:12]:
        pieces = batch.split(parts)
        assert len(pieces) == min(parts, len(batch.rows))
        assert max(len(piece.rows) for piece in pieces) - min(len(piece.rows) for piece in pieces) <= 1
        for name in ("rows", "labels", "weights"):
            assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name))
        for piece in pieces:
            again = splits[batch.task].sentences(piece.rows.numpy())
            for tokens, expected in zip(piece.sentences, again, strict=True):
                assert all(torch.equal(tokens[name], expected[name]) for name in expected), "its own padding only"


def test_a_batch_that_was_moved_is_cut_like_one_that_was_not(splits):
    """On its way to a device a separate pair gets its tokens' places, which are those of the whole batch."""
    batch = next(batch for batch in batches_of(splits) if batch.task == "sts")
    moved = batch.to("cpu")
    assert all("places" in tokens for tokens in moved.sentences)
    for piece, expected in zip(moved.split(3), batch.split(3), strict=True):
        for tokens, others in zip(piece.to("cpu").sentences, expected.to("cpu").sentences, strict=True):
            assert tokens.keys() == others.keys()
            assert all(torch.equal(tokens[name], others[name]) for name in tokens)
