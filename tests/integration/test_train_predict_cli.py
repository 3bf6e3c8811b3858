"""`train`, `predict` and `report` as a user runs them: what comes out, and one message and exit 2 for bad input."""

import json
from pathlib import Path

import pytest
import torch
from command_line import run
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from mtbert_ray.models.tiny import build_tiny, tiny_config, tiny_tokenizer
from mtbert_ray.predict import app as predict_app
from mtbert_ray.report import app as report_app
from mtbert_ray.train import app as train_app

SMALL = {"encoder": "tiny", "epochs": 2, "learning_rate": 1e-3, "data.max_train_rows": 40}


def invoke(app, *arguments) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(out: Path, *arguments, **changes) -> Result:
    hyperparameters = {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}}
    options = [option for key, value in hyperparameters.items() for option in ("--set", f"{key}={value}")]
    return invoke(train_app, "--out", out, *options, *arguments)


def refused(done: Result, *expected: str) -> None:
    """Check for one message on stderr, nothing on stdout, and exit 2."""
    assert done.exit_code == 2, (done.output, done.exception)
    assert done.stdout == "" and "Traceback" not in done.output
    for text in expected:
        assert text in done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("train") / "run"
    done = train(out)
    assert done.exit_code == 0, (done.output, done.exception)
    return out


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    """A checkpoint to damage."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for path in (trained / "checkpoint").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def encoder_folder(folder: Path, seed: int) -> Path:
    """Write a local encoder whose weights the seed decides."""
    torch.manual_seed(seed)
    build_tiny(tiny_config(), add_pooling_layer=True).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


# What comes out


def test_training_says_each_epoch_and_keeps_the_best(tmp_path):
    done = train(tmp_path / "run")
    assert done.exit_code == 0, done.output
    *epochs, last = done.stdout.splitlines()
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert last == f"The best epoch's checkpoint: {tmp_path / 'run' / 'checkpoint'}"
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2]
    for line, epoch in zip(epochs, metrics, strict=True):
        assert f"dev_score {epoch['dev_score']:.4g}" in line and f"sst {epoch['sst']:.4g}" in line
        assert "energy_kj" not in line, "what was not measured is not shown"
    kept = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert kept["dev_score"] == max(epoch["dev_score"] for epoch in metrics)


def test_a_checkpoint_predicts_with_the_scores_it_was_kept_for(trained, tmp_path):
    done = invoke(predict_app, trained / "checkpoint", "--out", tmp_path / "new" / "predictions")
    assert done.exit_code == 0, done.output
    *files, scores = done.stdout.splitlines()
    names = [f"{stem}-{split}-output.csv" for split in ("dev", "test") for stem in ("sst", "para", "sts")]
    assert files == [str(tmp_path / "new" / "predictions" / name) for name in names]
    assert all(Path(file).stat().st_size > 0 for file in files)
    kept = json.loads((trained / "checkpoint" / "metrics.json").read_text())
    printed = dict(pair.rsplit(" ", 1) for pair in scores.split(", "))
    assert {name: float(score) for name, score in printed.items()} == pytest.approx(
        {name: kept[name] for name in ("sst", "quora", "sts", "dev_score", "leaderboard_score")}, abs=6e-5
    )


def test_a_file_and_an_option_on_top_decide_the_setting(tmp_path):
    with (tmp_path / "mine.yaml").open("w") as file:
        YAML().dump({"encoder": "tiny", "adapter": {"kind": "lora"}, "adapter.rank": 2, "epochs": 9}, file)
    small = ["--set", "data.max_train_rows=8", "--set", "tasks=[sst]", "--set", "epochs=1", "--set", "adapter.rank=4"]
    done = invoke(train_app, "--config", tmp_path / "mine.yaml", "--out", tmp_path / "run", *small)
    assert done.exit_code == 0, done.output
    config = json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())
    assert (config["adapter"]["kind"], config["adapter"]["rank"], config["epochs"]) == ("lora", 4, 1)
    assert [task["name"] for task in config["tasks"]] == ["sst"]


def test_a_loss_that_is_no_number_is_a_failure_with_advice(tmp_path):
    done = train(tmp_path, learning_rate=1e30, max_grad_norm="null", warmup_fraction=0, schedule="constant")
    assert done.exit_code == 1
    assert done.stderr.strip().startswith("training failed: the training loss of") and "Traceback" not in done.output


def test_the_module_is_a_command(tmp_path):
    done = run("train", "--set", "epoch=3", "--out", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("--set epoch=3: unknown key 'epoch'; did you mean 'epochs'? (experiment, encoder, ")


# Bad input to train


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epoch": 3, "adapter.kind": "lroa"}, ["unknown key 'epoch'; did you mean 'epochs'?", "did you mean 'lora'?"]),
        ({"epochs": "many"}, ["--set epochs=many: epochs has 'many'"]),
        ({"epochs": "["}, ["--set epochs=[: the '[' that opens here is not closed"]),
        ({"adapter": 3}, ["--set adapter=3: adapter has 3"]),
        ({"encoder": "no/such-encoder"}, ["no/such-encoder"]),
        ({"adapter.kind": "lora", "adapter.target_modules": "[qeury]"}, ["qeury"]),
        ({"data.source": "course"}, ["source 'course' needs directory; give --data DIR"]),
    ],
)
def test_a_wrong_option_is_refused(tmp_path, changes, expected):
    refused(train(tmp_path / "run", **changes), *expected)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("option", ["epochs", "=3"])
def test_an_option_without_a_value_is_refused(tmp_path, option):
    refused(train(tmp_path / "run", "--set", option), f"--set {option}: must be KEY=VALUE")
    assert not (tmp_path / "run").exists()


def test_a_config_that_is_not_there_or_holds_a_conflict_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    refused(invoke(train_app, "--config", path, "--out", tmp_path / "run"), f"{path}: no such file")
    path.write_text("adapter: 3\nadapter.rank: 4\n")
    conflict = f"{path}:1: 'adapter' has the value 3 and keys below it; keep one of the two"
    refused(invoke(train_app, "--config", path, "--out", tmp_path / "run"), conflict)
    assert not (tmp_path / "run").exists()


def test_missing_data_are_refused_and_an_earlier_run_is_kept(trained, tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text("earlier\n")
    refused(train(tmp_path / "new", "--data", tmp_path / "nowhere"), "nowhere", "there is no such folder")
    refused(train(tmp_path), f"--out {tmp_path}: already holds a run; give another folder")
    assert log.read_text() == "earlier\n"


def test_an_out_that_is_a_file_is_refused(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        why = "is a file; give a folder" if out.name == "file" else "no folder can be made there"
        refused(train(out), f"--out {out}: {why}")
        refused(invoke(predict_app, trained / "checkpoint", "--out", out), f"--out {out}: {why}")
    assert (tmp_path / "file").read_text() == "mine"


# Bad input to predict


def predict(checkpoint: Path, tmp_path: Path, *arguments) -> Result:
    done = invoke(predict_app, checkpoint, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 0 or not list((tmp_path).glob("out/*.csv"))
    return done


def test_a_folder_that_is_no_checkpoint_is_refused(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", trained / "metrics.jsonl"):
        refused(predict(folder, tmp_path), f"{folder}: not a checkpoint (no config.json); give a folder like")
    refused(predict(tmp_path / "nowhere", tmp_path), f"{tmp_path / 'nowhere'}: no such folder; give a folder like")
    refused(predict(trained, tmp_path), f"{trained}: not a checkpoint itself; give {trained / 'checkpoint'}")


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("model.safetensors", lambda old: old[:-100], "model.safetensors: cannot be read"),
        ("model.safetensors", lambda old: b"", "model.safetensors: cannot be read"),
        ("model.safetensors", None, "model.safetensors: cannot be read"),
        ("config.json", lambda old: old[:-100], "config.json: not the configuration of a checkpoint"),
        ("config.json", lambda old: b"\xff\xfe", "config.json: not the configuration of a checkpoint"),
        ("config.json", lambda old: old.replace(b'"epochs"', b'"epoch"'), "config.json: not the configuration"),
        ("config.json", lambda old: old.replace(b'"hidden_layers": 1', b'"hidden_layers": 2'), "do not fit the model"),
    ],
)
def test_a_damaged_checkpoint_is_refused(copy, tmp_path, file, damage, expected):
    path = copy / file
    old = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(old))
        assert damage(old) != old
    refused(predict(copy, tmp_path), expected)


def test_data_that_are_not_there_are_refused(trained, tmp_path):
    refused(predict(trained / "checkpoint", tmp_path, "--data", tmp_path / "nowhere"), "there is no such folder")


@pytest.mark.parametrize("hyperparameters", [{"finetune": "heads_only"}, {"adapter__kind": "lora"}])
def test_heads_and_adapters_are_refused_on_another_version_of_their_encoder(tmp_path, hyperparameters):
    """They hold nothing of the encoder, and on other weights they would predict nonsense without a word."""
    encoder = encoder_folder(tmp_path / "encoder", seed=0)
    done = train(tmp_path / "run", encoder=encoder, epochs=1, tasks="[sst]", **hyperparameters)
    assert done.exit_code == 0, (done.output, done.exception)
    assert predict(tmp_path / "run" / "checkpoint", tmp_path).exit_code == 0
    for path in (tmp_path / "out").iterdir():
        path.unlink()

    encoder_folder(encoder, seed=1)
    other = predict(tmp_path / "run" / "checkpoint", tmp_path)
    refused(other, f"belong to another version of the encoder '{encoder}'", "give the encoder it was trained with")


def test_an_encoder_that_has_gone_is_refused(tmp_path):
    encoder = encoder_folder(tmp_path / "encoder", seed=0)
    assert train(tmp_path / "run", encoder=encoder, epochs=1, tasks="[sst]").exit_code == 0
    encoder.rename(tmp_path / "elsewhere")
    refused(predict(tmp_path / "run" / "checkpoint", tmp_path), str(encoder))


# Bad input to report


def test_a_folder_without_a_journal_has_no_report(tmp_path):
    refused(invoke(report_app, tmp_path), f"{tmp_path / 'journal.jsonl'}: cannot be read", "Give the folder of a sweep")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_has_no_report(tmp_path):
    (tmp_path / "journal.jsonl").write_text("not\na journal\n")
    refused(invoke(report_app, tmp_path), "journal.jsonl, line 1: not an event of a sweep")
