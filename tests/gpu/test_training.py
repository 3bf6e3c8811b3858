"""A run on a real GPU: the losses of the CPU in float32, finite ones in bf16, and costs that are filled in."""

import pytest
import torch

from mtbert_ray.config import ResourceConfig, TrialConfig, nest
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process, local_process

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch built for it"),
]


def epochs(process: Process, **dotted) -> list[dict]:
    setting = {
        "encoder": "tiny",
        "epochs": 2,
        "learning_rate": 1e-3,
        "dropout": 0.0,
        "encoder_dropout": 0.0,
        "data.max_train_rows": 40,
        "data.max_dev_rows": 30,
    }
    run = TrainingRun(TrialConfig.model_validate(nest({**setting, **dotted})), process=process)
    return [dict(epoch.metrics) for epoch in metered_epochs(run)]


@pytest.mark.parametrize("adapter", ["none", "lora", "dora"])
def test_float32_on_the_gpu_gives_the_losses_of_the_cpu(adapter):
    setting = {"precision": "fp32", "adapter.kind": adapter, "adapter.dropout": 0.0}
    on_gpu = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), **setting)]
    on_cpu = [epoch["train_loss"] for epoch in epochs(Process(), **setting)]
    assert on_gpu == pytest.approx(on_cpu, rel=1e-3)


def test_bf16_stays_near_float32():
    bf16 = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), precision="bf16")]
    fp32 = [epoch["train_loss"] for epoch in epochs(local_process(ResourceConfig()), precision="fp32")]
    assert bf16 == pytest.approx(fp32, rel=0.05)


def test_the_costs_of_a_gpu_are_filled_in():
    last = epochs(local_process(ResourceConfig()))[-1]
    assert last["gpu_seconds"] == last["train_seconds"] > 0
    assert last["peak_allocated_gib"] > 0
    if last["peak_memory_gib"] is not None:
        assert last["peak_memory_gib"] >= last["peak_allocated_gib"]
