"""Train, then export, as a user does; then go on from what was exported."""

import pytest
from command_line import invoke

TRAIN = (
    "--set",
    "encoder=tiny",
    "--set",
    "epochs=1",
    "--set",
    "data.max_train_rows=30",
    "--set",
    "data.max_dev_rows=20",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "lora"
    done = invoke("train", *TRAIN, "--set", "adapter.kind=lora", "--set", "pooling=mean", "--out", out)
    assert done.exit_code == 0, (done.output, done.exception)
    return out / "checkpoint"


def test_merged_and_trained_on(trained, tmp_path):
    done = invoke("export", trained, "--out", tmp_path / "out", "--merge")
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.stdout == f"{tmp_path / 'out'}: how to load it is in its README.md\n"
    assert (tmp_path / "out" / "1_Pooling" / "config.json").exists()
    again = invoke("train", *TRAIN, "--set", f"encoder={tmp_path / 'out'}", "--out", tmp_path / "again")
    assert again.exit_code == 0, (again.output, again.exception)


def test_for_onnxruntime(tmp_path):
    done = invoke("train", *TRAIN, "--set", "tasks=[sst]", "--out", tmp_path / "run")
    assert done.exit_code == 0, (done.output, done.exception)
    with pytest.warns(UserWarning, match="--merge has no effect: --onnx always merges"):
        done = invoke("export", tmp_path / "run" / "checkpoint", "--out", tmp_path / "out", "--onnx", "--merge")
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.stdout == f"{tmp_path / 'out'}: how to run it is in its README.md\n"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sst.onnx", "tasks.json", "tokenizer.json", "config.yaml", "README.md"} <= names


def test_what_cannot_be_done_is_said_in_one_line(trained, tmp_path):
    for arguments, message in (
        ((trained, "--out", tmp_path / "out"), "give --merge"),
        ((trained, "--out", trained), "is not empty"),
        ((trained, "--out", trained, "--onnx"), "is not empty"),
        ((tmp_path, "--out", tmp_path / "out"), "not a checkpoint"),
    ):
        done = invoke("export", *arguments)
        assert done.exit_code == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
