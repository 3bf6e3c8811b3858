"""A run on a real GPU: the losses of the CPU in float32, finite ones in bf16, and costs that are filled in."""

import pytest
import torch

from mtbert_ray.config import ResourceConfig, TrialConfig, nest
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.evaluate import evaluate
from mtbert_ray.training.loop import CHECKPOINT_NAME, TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process, local_process

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch built for it"),
]


def epochs(process: Process, **dotted) -> list[dict]:
    defaults = {
        "encoder": "tiny",
        "epochs": 2,
        "learning_rate": 1e-3,
        "dropout": 0.0,
        "encoder_dropout": 0.0,
        "data.max_train_rows": 40,
        "data.max_dev_rows": 30,
    }
    run = TrainingRun(TrialConfig.model_validate(nest({**defaults, **dotted})), process=process)
    return [dict(epoch.metrics) for epoch in metered_epochs(run)]


@pytest.mark.parametrize("adapter", ["none", "lora", "dora"])
def test_float32_on_the_gpu_gives_the_losses_of_the_cpu(adapter):
    hyperparameters = {"precision": "fp32", "adapter.kind": adapter, "adapter.dropout": 0.0}
    on_gpu = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), **hyperparameters)]
    on_cpu = [epoch["train_loss"] for epoch in epochs(Process(), **hyperparameters)]
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


SMART = {
    "smart.tasks": ["sst", "quora", "sts"],
    "smart.steps": 2,
    "smart.epsilon": 0.1,
    "smart.step_size": 0.05,
    "smart.noise_variance": 1e-3,
}


@pytest.mark.parametrize(
    "hyperparameters", [{}, {"pair_encoding": "separate"}, {"adapter.kind": "lora", "adapter.dropout": 0.0}]
)
def test_smart_on_the_gpu_gives_the_losses_and_the_penalty_of_the_cpu(hyperparameters):
    """Its noise too: it depends on the row, not on the device's generator."""
    hyperparameters = {**SMART, **hyperparameters, "precision": "fp32", "accumulation_steps": 2}
    names = ("train_loss", "smart_penalty", "smart_steps")
    on_gpu = [[epoch[name] for name in names] for epoch in epochs(local_process(ResourceConfig()), **hyperparameters)]
    on_cpu = [[epoch[name] for name in names] for epoch in epochs(Process(), **hyperparameters)]
    torch.testing.assert_close(torch.tensor(on_gpu), torch.tensor(on_cpu), rtol=5e-3, atol=1e-6)


def test_passes_of_one_batch_share_their_dropout_masks_on_the_gpu():
    """With a noise that vanishes in float32, other masks alone would make a penalty."""
    hyperparameters = {**SMART, "smart.epsilon": 1e-40, "dropout": 0.3, "encoder_dropout": 0.1, "precision": "fp32"}
    assert [epoch["smart_penalty"] for epoch in epochs(local_process(ResourceConfig()), **hyperparameters)] == [
        0.0,
        0.0,
    ]


def test_smart_runs_in_bf16():
    last = epochs(local_process(ResourceConfig()), **SMART, precision="bf16")[-1]
    assert last["smart_penalty"] > 0


def test_bf16_stays_near_float32():
    bf16 = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), precision="bf16")]
    fp32 = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), precision="fp32")]
    assert bf16 == pytest.approx(fp32, rel=0.05)


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_batches_come_in_page_locked_memory(pair_encoding):
    config = TrialConfig.model_validate(
        nest({"encoder": "tiny", "data.max_train_rows": 40, "pair_encoding": pair_encoding})
    )
    run = TrainingRun(config, process=local_process(ResourceConfig()))
    run.start_epoch(1)
    for batch in run.batches:
        tensors = [batch.labels, batch.rows, batch.weights, *(t for tokens in batch.sentences for t in tokens.values())]
        assert all(tensor.is_pinned() for tensor in tensors)


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_no_step_waits_for_the_gpu(pair_encoding, monkeypatch):
    """PyTorch raises where the CPU would have to; an epoch's sums and scores are read once, outside."""
    take_steps = TrainingRun._take_steps

    def strictly(*arguments, **keywords):
        torch.cuda.set_sync_debug_mode("error")
        try:
            take_steps(*arguments, **keywords)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(TrainingRun, "_take_steps", strictly)
    assert len(epochs(local_process(ResourceConfig()), pair_encoding=pair_encoding)) == 2


def test_checkpoints_written_behind_are_the_best_epochs(tmp_path):
    hyperparameters = {"encoder": "tiny", "epochs": 3, "data.max_train_rows": 40, "data.max_dev_rows": 30}
    config = TrialConfig.model_validate(nest({**hyperparameters, "precision": "fp32"}))
    run = TrainingRun(config, process=local_process(ResourceConfig()), folder=tmp_path, write_behind=True)
    scores = [epoch.metrics["dev_score"] for epoch in metered_epochs(run)]
    assert read_metrics(tmp_path / CHECKPOINT_NAME)["dev_score"] == max(scores)
    model, _ = load_checkpoint(tmp_path / CHECKPOINT_NAME)
    again = evaluate(model.to(run.process.device), config.tasks, run.dev_splits, run.process, bf16=False).scores.values
    assert again["dev_score"] == pytest.approx(max(scores), abs=1e-4)


def test_the_costs_of_a_gpu_are_filled_in():
    last = epochs(local_process(ResourceConfig()))[-1]
    assert last["gpu_seconds"] == last["train_seconds"] > 0
    assert last["peak_allocated_gib"] > 0
    if last["peak_memory_gib"] is not None:
        assert last["peak_memory_gib"] >= last["peak_allocated_gib"]
