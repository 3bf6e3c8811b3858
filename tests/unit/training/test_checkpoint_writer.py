"""The writer of checkpoints, in a thread and without: what is on disk, and when."""

import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError
from mtbert_ray.models.build import build_model
from mtbert_ray.training import checkpoint
from mtbert_ray.training.checkpoint import (
    WEIGHTS_NAME,
    CheckpointWriter,
    load_checkpoint,
    read_metrics,
    write_checkpoint,
)

CONFIG = TrialConfig.model_validate({"encoder": "tiny", "tasks": ["sst"]})
NAME = "heads.sst.scorer.output.bias"


def writer_and_bias(folder, config=CONFIG, *, behind, write=write_checkpoint):
    model = build_model(config)
    bias = dict(model.named_parameters())[NAME]
    return CheckpointWriter(folder, model, config, behind=behind, write=write), bias


@pytest.mark.parametrize("behind", [False, True])
def test_the_last_checkpoint_stays_with_its_metrics(tmp_path, behind):
    writer, bias = writer_and_bias(tmp_path / "checkpoint", behind=behind)
    for epoch in (1, 2):
        bias.data.fill_(epoch)
        writer.save({"epoch": epoch, "dev_score": 0.5})
        bias.data.fill_(99.0)  # Training continues.
    writer.write_metrics({"epoch": 2, "dev_score": 0.5, "train_seconds": 3.0})
    writer.close()
    model, _ = load_checkpoint(tmp_path / "checkpoint")
    assert torch.equal(dict(model.named_parameters())[NAME], torch.full((5,), 2.0))
    assert read_metrics(tmp_path / "checkpoint")["train_seconds"] == 3.0


def test_behind_it_does_not_wait_for_the_disk(tmp_path):
    resume = threading.Event()

    def slow(*args):
        assert resume.wait(timeout=60)
        write_checkpoint(*args)

    writer, bias = writer_and_bias(tmp_path, behind=True, write=slow)
    before = bias.detach().clone()
    writer.save({"epoch": 1})
    writer.write_metrics({"epoch": 1, "train_seconds": 1.0})
    bias.data.add_(1.0)
    assert not (tmp_path / WEIGHTS_NAME).exists()
    resume.set()
    writer.close()
    assert torch.equal(load_file(tmp_path / WEIGHTS_NAME)[NAME], before)
    assert read_metrics(tmp_path) == {"epoch": 1, "train_seconds": 1.0}


@pytest.mark.parametrize("behind", [False, True])
def test_errors_are_raised_and_not_lost(tmp_path, behind):
    writer, _ = writer_and_bias(tmp_path / "checkpoint", behind=behind)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        writer.write_metrics({"epoch": 1})
        writer.close()
    (tmp_path / "file").write_text("in the way")
    writer, _ = writer_and_bias(tmp_path / "file" / "checkpoint", behind=behind)
    with pytest.raises(OSError):
        writer.save({"epoch": 1})
        writer.save({"epoch": 2})
    writer.close()


def test_behind_a_full_disk_is_reported_at_the_next_epoch_even_if_it_is_no_better(tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    writer, _ = writer_and_bias(tmp_path, behind=True, write=full)
    writer.save({"epoch": 1})
    while not writer._pending[0].done():
        time.sleep(0.01)
    with pytest.raises(OSError, match="No space left"):
        writer.write_metrics({"epoch": 1})
    writer.close()


def test_frozen_weights_are_hashed_once(tmp_path, monkeypatch):
    calls = []
    digest = checkpoint.base_fingerprint
    monkeypatch.setattr(checkpoint, "base_fingerprint", lambda *a, **k: (calls.append(1), digest(*a, **k))[1])
    config = TrialConfig.model_validate({"encoder": "tiny", "tasks": ["sst"], "finetune": "heads_only"})
    writer, _ = writer_and_bias(tmp_path, config, behind=False)
    for epoch in (1, 2, 3):
        writer.save({"epoch": epoch})
    assert len(calls) == 1
    load_checkpoint(tmp_path)  # Refuses another encoder's.
