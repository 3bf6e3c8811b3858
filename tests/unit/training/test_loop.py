import json
from pathlib import Path

import pytest
import torch
from ranks import train_in_ranks
from safetensors.torch import load_file

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.batching import epoch_batches
from mtbert_ray.models.state import trainable_state
from mtbert_ray.training.checkpoint import load_checkpoint
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process


def tiny_config(**dotted) -> TrialConfig:
    """A run of seconds: the tiny encoder on a few toy rows."""
    defaults = {
        "encoder": "tiny",
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "data.max_train_rows": 40,
        "data.max_dev_rows": 30,
    }
    return TrialConfig.model_validate(nest({**defaults, **dotted}))


# A noise that is large against the embeddings: the divergence of a small one is all rounding in float32.
SMART = {
    "smart.tasks": ["sst", "quora", "sts"],
    "smart.steps": 2,
    "smart.epsilon": 0.1,
    "smart.step_size": 0.05,
    "smart.noise_variance": 1e-3,
}
NO_DROPOUT = {"dropout": 0.0, "encoder_dropout": 0.0, "adapter.dropout": 0.0}


LOSSES = ("train_loss", "train_loss.sst", "train_loss.quora", "train_loss.sts", "smart_penalty")


def losses_and_scores(metrics: list[dict]) -> list[list[float]]:
    wanted = (*LOSSES, "sst", "quora", "sts", "dev_score")
    return [[epoch[name] for name in wanted] for epoch in metrics]


def losses(metrics: list[dict]) -> torch.Tensor:
    return torch.tensor([[epoch[name] or 0.0 for name in LOSSES] for epoch in metrics])


def run_alone(config: TrialConfig, folder: Path | None = None) -> list[dict]:
    run = TrainingRun(config, process=Process(), folder=folder)
    return [epoch.metrics for epoch in metered_epochs(run)]


LORA = {"adapter.kind": "lora"}


@pytest.mark.parametrize(
    ("hyperparameters", "tolerance"),
    [
        # 40 rows in batches of 15 leave a last batch of 10; 15 rows do not divide by two. Trained whole, some of the
        # encoder's gradients are nothing but rounding (a key's bias), by which Adam steps all the same.
        ({"batch_size": 15, "pair_encoding": "joint"}, 1e-2),
        ({"batch_size": 15, "pair_encoding": "separate", "task_order": "sequential"}, 1e-2),
        # 39 rows in batches of 2 leave one row for two ranks: one of them has none.
        ({"batch_size": 2, "data.max_train_rows": 39, "epochs": 2, **LORA}, 1e-2),
        ({"batch_size": 15, "pair_encoding": "separate", "finetune": "heads_only"}, 1e-2),
        ({"batch_size": 15, "accumulation_steps": 3, **LORA, **SMART}, 1e-4),
        ({"batch_size": 15, "accumulation_steps": 2, "pair_encoding": "separate", **LORA, **SMART}, 1e-4),
    ],
)
def test_two_gloo_workers_give_the_loss_curve_of_one(tmp_path, hyperparameters, tolerance):
    config = tiny_config(**NO_DROPOUT, **hyperparameters)
    run = TrainingRun(config.model_copy(update={"accumulation_steps": 1}), process=Process())
    initial = {name: tensor.clone() for name, tensor in trainable_state(run.model).items()}
    alone = [epoch.metrics for epoch in metered_epochs(run)]
    first, second = train_in_ranks(config, tmp_path)

    assert losses_and_scores(first) == losses_and_scores(second)
    # The losses only: the correlation of a tiny random encoder's almost constant predictions is all rounding.
    torch.testing.assert_close(losses(first), losses(alone), rtol=tolerance / 50, atol=tolerance / 500)
    ours, theirs = trainable_state(run.model), load_file(tmp_path / "ranks" / "last.safetensors")
    assert _distance(ours, theirs) < tolerance * _distance(ours, initial)


def _distance(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return float(sum((state[name] - other[name]).square().sum() for name in state) ** 0.5)


def test_the_costs_of_two_ranks_are_reduced_before_they_are_reported(tmp_path):
    config = tiny_config(**NO_DROPOUT, epochs=1)
    first, second = train_in_ranks(config, tmp_path)
    for name in ("peak_rss_gib", "cpu_seconds"):
        assert first[0][name] == second[0][name] > 0
    assert first[0]["peak_memory_gib"] is None


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    config = tiny_config()
    assert losses_and_scores(run_alone(config)) == losses_and_scores(run_alone(config))
    assert losses_and_scores(run_alone(config)) != losses_and_scores(run_alone(tiny_config(seed=1)))


def test_training_lowers_the_loss_of_every_task():
    metrics = run_alone(tiny_config(epochs=6, learning_rate=3e-3, **NO_DROPOUT))
    for task in ("sst", "quora", "sts"):
        assert metrics[-1][f"train_loss.{task}"] < metrics[0][f"train_loss.{task}"]


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {},
        {"pair_encoding": "separate", "hidden_layers": 0},
        {"adapter.kind": "dora"},
        {"finetune": "heads_only", "hidden_layers": {"sst": 0, "quora": 2, "sts": 1}},
    ],
)
def test_a_checkpoint_loads_with_the_scores_it_was_saved_with(tmp_path, hyperparameters):
    config = tiny_config(**hyperparameters)
    run = TrainingRun(config, process=Process(), folder=tmp_path)
    best = max((epoch.scores for epoch in run.epochs()), key=lambda scores: scores["dev_score"])

    model, loaded_config = load_checkpoint(tmp_path / "checkpoint")

    assert loaded_config == config
    assert evaluate(model, config.tasks, run.dev_splits, Process(), bf16=False).scores.values == pytest.approx(
        best, abs=1e-6
    )
    assert json.loads((tmp_path / "checkpoint" / "metrics.json").read_text())["dev_score"] == best["dev_score"]


def test_a_frozen_encoder_is_not_written_into_the_checkpoint(tmp_path):
    for finetune, is_written in (("full", True), ("heads_only", False)):
        run_alone(tiny_config(finetune=finetune, epochs=1), tmp_path / finetune)
        names = load_file(tmp_path / finetune / "checkpoint" / "model.safetensors").keys()
        assert any("word_embeddings" in name for name in names) is is_written


def test_on_step_is_called_after_each_step():
    seen = []
    run = TrainingRun(tiny_config(epochs=2), process=Process(), on_step=lambda step, total: seen.append((step, total)))
    list(run.epochs())
    # 40 rows of each of 3 tasks in batches of 16 are 3 steps a task.
    assert seen == [(step, 18) for step in range(1, 19)]


def test_a_step_moves_no_other_task_s_head():
    """Neither by a gradient left over from an earlier step nor by weight decay."""
    run = TrainingRun(tiny_config(weight_decay=0.5), process=Process())
    batches = list(epoch_batches(run.train_splits, batch_size=16, task_order="sequential", seed=0, epoch=1))
    run.start_epoch(1)
    run._steps.train()
    run._steps.take(next(batch for batch in batches if batch.task == "sts"), 1, run._sums)
    head = {name: tensor.detach().clone() for name, tensor in run.model.heads["sts"].named_parameters()}
    for batch in batches:
        if batch.task == "sst":
            run._steps.take(batch, 1, run._sums)
    torch.testing.assert_close(dict(run.model.heads["sts"].named_parameters()), head, rtol=0, atol=0)
