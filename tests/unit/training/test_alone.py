"""One run without Ray leaves all that it knows in its folder."""

import json
import math
import shutil
from pathlib import Path

import pytest
from event_files import hparams_in, scalars_in

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import UserError
from mtbert_ray.training.alone import run_alone
from mtbert_ray.training.checkpoint import read_metrics

DEFAULTS = {
    "encoder": "tiny",
    "epochs": 2,
    "learning_rate": 1e-3,
    "adapter.kind": "lora",
    "tasks": ["sst"],
    "data.max_train_rows": 32,
    "data.max_dev_rows": 20,
}


def run(folder, **dotted) -> list[dict]:
    config = TrialConfig.model_validate(nest({**DEFAULTS, **dotted}))
    return list(run_alone(config, folder, on_step=lambda step, total: None))


def test_the_event_file_has_what_metrics_jsonl_has(tmp_path):
    epochs = run(tmp_path / "run")
    assert [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()] == epochs
    scalars = scalars_in(tmp_path / "run" / "tensorboard")
    for tag, name in {
        "train_loss/all": "train_loss",
        "train_loss/sst": "train_loss.sst",
        "score/sst": "sst",
        "score/dev_score": "dev_score",
        "resources/train_seconds": "train_seconds",
        "resources/peak_rss_gib": "peak_rss_gib",
    }.items():
        steps, values = zip(*scalars[tag], strict=True)
        assert list(steps) == [epoch["step"] for epoch in epochs]
        assert values == pytest.approx([epoch[name] for epoch in epochs], rel=1e-6)
    assert "resources/energy_kj" not in scalars  # no GPU, no value


def test_the_hparams_are_what_differs_from_the_defaults(tmp_path):
    epochs = run(tmp_path / "run")
    hyperparameters, tags = hparams_in(tmp_path / "run" / "tensorboard")
    assert hyperparameters["adapter.kind"] == "lora" and hyperparameters["learning_rate"] == pytest.approx(1e-3)
    assert hyperparameters["data.max_train_rows"] == 32 and "dropout" not in hyperparameters
    assert {"final/dev_score", "final/sst", "final/train_seconds"} <= tags
    final = scalars_in(tmp_path / "run" / "tensorboard")["final/dev_score"]
    assert final == [(epochs[-1]["step"], pytest.approx(max(epoch["dev_score"] for epoch in epochs)))]


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoint", "tensorboard", "profile", "predictions/dev.npz"])
def test_a_folder_with_anything_of_another_run_is_refused(tmp_path, name):
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match="already holds a run"):
        run(tmp_path)


def test_a_refused_setting_leaves_no_folder(tmp_path):
    refused = TrialConfig.model_validate({"encoder": "tiny", "init_from": str(tmp_path / "gone")})
    with pytest.raises(UserError, match="no such folder"):
        next(run_alone(refused, tmp_path / "run", on_step=lambda step, total: None))
    assert not (tmp_path / "run").exists()


def test_classes_that_were_found_and_rows_left_out_are_announced(tmp_path):
    rows = "".join(f"text {n},{('outage', 'billing')[n % 2]}\n" for n in range(120))
    (tmp_path / "topics.csv").write_text("text,label\n" + rows + "no label\n")
    source = {
        "train": str(tmp_path / "topics.csv"),
        "split": {"dev": 0.25, "seed": 2},
        "columns": {"sentence1": "text", "label": "label"},
    }
    config = TrialConfig.model_validate(
        nest({"encoder": "tiny", "epochs": 1, "tasks": [{"name": "topic", "kind": "classification", "source": source}]})
    )
    notes: list[str] = []
    for _ in run_alone(config, tmp_path / "run", on_step=lambda step, total: None, announce=notes.append):
        pass
    assert notes == [
        "topic: 2 classes from topics.csv: billing, outage",
        "topic train: 120 of 121 rows; 1 left out (no label: row 121); 30 are dev rows",
        "topic dev: 30 of 120 training rows, drawn with seed 2",
    ]
    (task,) = json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())["tasks"]
    assert task["classes"] == ["billing", "outage"], "a checkpoint names its classes by itself"


def test_case_09_scores_of_constant_dev_labels_are_null_with_the_reason(cases, tmp_path, monkeypatch):
    shutil.copytree(cases, tmp_path / "cases")
    monkeypatch.chdir(tmp_path / "cases")
    config, warned = load_config(Path("09-constant-dev.yaml")), []
    (epoch,) = run_alone(config, tmp_path / "run", on_step=lambda step, total: None, warn=warned.append)
    reason = "every label is 2.5"
    assert warned == [f"no dev_score: sim has no pearson: {reason}"], "once, though it is known before training too"
    (logged,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    kept = read_metrics(tmp_path / "run" / "checkpoint")
    for metrics in (epoch, logged, kept):
        assert [metrics[name] for name in ("sim", "dev_score", "leaderboard_score")] == [None] * 3
        assert math.isfinite(metrics["train_loss"])
    because = f"sim has no pearson: {reason}"
    assert logged["undefined"] == {"sim": reason, "dev_score": because, "leaderboard_score": because}
    scalars = scalars_in(tmp_path / "run" / "tensorboard")
    assert "train_loss/all" in scalars and not [tag for tag in scalars if tag.startswith("score/")]
