"""The embedding cache: the same run as without, and no forward pass of the encoder after the first epoch."""

import logging

import pytest
import torch

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.batching import eval_batches
from mtbert_ray.models.state import trainable_state
from mtbert_ray.training.embedding_cache import cache_embeddings, can_cache_embeddings
from mtbert_ray.training.evaluate import predict
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import Process


def heads_only(**dotted) -> TrainingRun:
    defaults = {
        "encoder": "tiny",
        "finetune": "heads_only",
        "epochs": 3,
        "learning_rate": 1e-2,
        "data.max_train_rows": 40,
        "data.max_dev_rows": 30,
    }
    return TrainingRun(TrialConfig.model_validate(nest({**defaults, **dotted})), process=Process())


def count_passes(run: TrainingRun) -> list[int]:
    """Return a list that holds the encoder's forward passes so far."""
    passes = [0]

    def count(*_: object) -> None:
        passes[0] += 1

    run.model.encoder.model.register_forward_hook(count)
    return passes


@pytest.mark.parametrize(
    "hyperparameters",
    [{}, {"pair_encoding": "separate"}, {"accumulation_steps": 3}, {"pooling": "mean", "task_order": "sequential"}],
    ids=str,
)
def test_a_run_with_the_cache_is_the_run_without_it(hyperparameters):
    cached, always = heads_only(**hyperparameters), heads_only(**hyperparameters)
    assert cached.caches_embeddings
    always.caches_embeddings = False
    results = [list(run.epochs()) for run in (cached, always)]
    for quick, slow in zip(*results, strict=True):
        assert quick.losses.by_task == pytest.approx(slow.losses.by_task, rel=1e-5)
    torch.testing.assert_close(trainable_state(cached.model), trainable_state(always.model), rtol=1e-4, atol=1e-5)
    # Its heads are those of a model that reads tokens. (Not by the scores: those of predictions that are almost alike
    # are rounding.)
    for task in always.config.tasks:
        by_embedding = predict(cached.model, task, cached.dev_splits[task.name], Process(), bf16=False)
        by_tokens = predict(cached.model, task, always.dev_splits[task.name], Process(), bf16=False)
        assert by_embedding.values == pytest.approx(by_tokens.values, abs=1e-3)


def test_the_encoder_runs_in_the_first_epoch_only():
    run = heads_only()
    passes = count_passes(run)
    after = [passes[0] for _ in run.epochs()]
    assert after[0] > 0 and after == after[:1] * 3


def test_a_row_has_the_embedding_that_its_tokens_give():
    run = heads_only(pair_encoding="separate")
    split = run.dev_splits["quora"]
    quick = cache_embeddings(run.model, {"quora": split}, Process(), bf16=False)["quora"]
    assert (len(quick), quick.ids) == (len(split), split.ids)
    batches = (eval_batches(each, task="quora") for each in (split, quick))
    for by_tokens, by_embedding in zip(*batches, strict=True):
        assert torch.equal(by_tokens.rows, by_embedding.rows) and torch.equal(by_tokens.labels, by_embedding.labels)
        with torch.no_grad():
            expected = run.model("quora", by_tokens.sentences)
        torch.testing.assert_close(run.model("quora", by_embedding.sentences), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {"finetune": "full"},
        {"finetune": "full", "adapter.kind": "lora"},
        {"smart.tasks": ["sst"], "smart.epsilon": 0.01},
    ],
    ids=["full", "lora", "smart"],
)
def test_embeddings_that_change_are_not_cached(hyperparameters):
    assert not heads_only(**hyperparameters).caches_embeddings


def test_embeddings_that_do_not_fit_are_not_cached_and_the_log_warns(caplog):
    run = heads_only(pair_encoding="separate")
    splits = [*run.train_splits.values(), *run.dev_splits.values()]
    rows = sum(len(split) * len(split.widths) for split in splits)
    needed = rows * run.model.encoder.width * 4
    with caplog.at_level(logging.WARNING):
        assert can_cache_embeddings(run.model, run.config, splits, free_bytes=2 * needed)
        assert not caplog.records
        assert not can_cache_embeddings(run.model, run.config, splits, free_bytes=2 * needed - 2)
    assert "data.max_train_rows" in caplog.text
