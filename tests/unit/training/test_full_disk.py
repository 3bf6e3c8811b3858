"""Commands without Ray on a disk that takes no more: one line that names the file, and an exit code of its own."""

import errno
import os

import pytest
from command_line import invoke, options
from safetensors import SafetensorError

from mtbert_ray.config import TrialConfig
from mtbert_ray.training.checkpoint import WEIGHTS_NAME, initial_model, kept_weights, write_checkpoint

FULL = os.strerror(errno.ENOSPC)


def refuse(*arguments, **named):
    raise OSError(errno.ENOSPC, FULL)


@pytest.fixture
def checkpoint(tmp_path):
    config = TrialConfig(encoder="tiny", tasks=("sst",), data={"max_train_rows": 8, "max_dev_rows": 8})
    write_checkpoint(tmp_path / "checkpoint", kept_weights(initial_model(config), config), config, {})
    return tmp_path / "checkpoint"


def refuse_weights(tensors, path, metadata):
    """As safetensors does, which leaves a part of the file."""
    path.write_bytes(b"half")
    raise SafetensorError(f"Error while serializing: I/O error: {FULL} (os error {errno.ENOSPC})")


def test_weights_without_room_end_a_run_and_no_half_of_them_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("mtbert_ray.training.checkpoint.save_file", refuse_weights)
    small = options(encoder="tiny", epochs=1, tasks="[sst]", data__max_train_rows=8, data__max_dev_rows=8)
    done = invoke("train", "--out", tmp_path / "run", *small)
    assert done.exit_code == 4, (done.output, done.exception)
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path}/run/checkpoint/{WEIGHTS_NAME}: {FULL}; ")
    assert not list((tmp_path / "run" / "checkpoint").glob(f"{WEIGHTS_NAME}*"))


@pytest.mark.parametrize(
    ("command", "writes"),
    [
        ("predict", "mtbert_ray.training.predictions.predict_checkpoint"),
        ("export", "mtbert_ray.training.export.export_checkpoint"),
    ],
)
def test_what_is_made_of_a_checkpoint_finds_no_room(tmp_path, monkeypatch, checkpoint, command, writes):
    monkeypatch.setattr(writes, refuse)
    done = invoke(command, checkpoint, "--out", tmp_path / "made")
    assert done.exit_code == 4, (done.output, done.exception)
    assert done.stderr.splitlines()[-1].startswith(f"{tmp_path}/made: {FULL}; ")
