"""The dev predictions that a run keeps are those of its best epoch, however it went."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks import train_in_ranks

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import DivergedError
from mtbert_ray.scoring.dev_predictions import dev_predictions_file, read_dev_predictions, write_dev_predictions
from mtbert_ray.training import loop
from mtbert_ray.training.alone import run_alone
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process
from mtbert_ray.training.run_state import RunState
from mtbert_ray.training.scoring import score
from mtbert_ray.trial import best_place

METRICS = {"sst": ("f1_macro", "accuracy", "mcc"), "quora": ("accuracy", "auroc"), "sts": ("spearman", "rmse")}
SMALL = {
    "encoder": "tiny",
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "data.max_train_rows": 40,
    "data.max_dev_rows": 60,
}
TASKS = TrialConfig.model_validate({"encoder": "tiny"}).tasks


def config_of(**dotted) -> TrialConfig:
    tasks = [{**task.model_dump(exclude_unset=True), "metrics": METRICS[task.name]} for task in TASKS]
    return TrialConfig.model_validate(nest({**SMALL, "tasks": tasks, **dotted}))


class KilledError(Exception):
    """Ends a run without anything being said."""


def run_of(config: TrialConfig, folder: Path | None, *, die_at: int | None = None) -> TrainingRun:
    def on_step(step: int, total: int) -> None:
        if step == die_at:
            raise KilledError

    state = None if folder is None else RunState(folder / "state", config, Process())
    return TrainingRun(config, process=Process(), folder=folder, on_step=on_step, state=state)


def attempt(config: TrialConfig, folder: Path, *, die_at: int | None = None) -> list[dict]:
    reported = []
    with suppress(KilledError):
        for epoch in metered_epochs(run_of(config, folder, die_at=die_at)):
            reported.append(epoch.metrics)  # noqa: PERF401  # What came before the kill counts.
    return reported


def rescored(folder: Path, config: TrialConfig) -> dict[str, float | None]:
    """The scores that the kept predictions have."""
    kept = read_dev_predictions(folder)[1]
    assert list(kept) == [task.name for task in config.tasks]
    scores = {}
    for task in config.tasks:
        mine = kept[task.name]
        ranked = None if mine.probabilities is None else mine.probabilities.astype(float)
        for metric in task.metric_names:
            name = task.name if metric == task.metric else f"{task.name}.{metric}"
            scores[name] = score(task, metric, mine.values.astype(float), mine.labels.astype(float), ranked).value
    return scores


def test_they_have_the_scores_of_the_best_epoch(tmp_path):
    config = config_of()
    reported = []
    for epoch in metered_epochs(run_of(config, tmp_path)):
        reported.append(epoch.metrics)
        best = reported[best_place(reported)]
        assert read_dev_predictions(tmp_path)[0] == best["epoch"], "before the epoch is reported"
        again = rescored(tmp_path, config)
        assert again == {name: pytest.approx(best[name], abs=1e-6) for name in again}
    assert best["epoch"] > 1, "a later one was better"
    kept = read_dev_predictions(tmp_path)[1]
    assert [task for task, each in kept.items() if each.probabilities is not None] == ["quora"], "only auroc needs them"
    assert len(kept["sst"].values) == 60


@pytest.mark.parametrize("method", [{}, {"finetune": "heads_only"}, {"adapter.kind": "lora"}])
def test_a_run_that_was_killed_twice_keeps_those_of_one_that_was_not(tmp_path, method):
    """Bit for bit. An epoch has 15 steps."""
    config = config_of(**method)
    attempt(config, tmp_path / "whole")
    for die_at in (20, 50, None):
        attempt(config, tmp_path / "killed", die_at=die_at)
    whole, killed = (dev_predictions_file(tmp_path / name).read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_a_run_that_continues_has_those_of_the_epochs_that_it_has(tmp_path):
    """Killed after a better epoch's were written and before its state was: on a GPU it may not come out the best."""
    config = config_of(learning_rate=1e-12)  # Of equal epochs the first is the best.
    attempt(config, tmp_path, die_at=20)
    before = dev_predictions_file(tmp_path).read_bytes()
    write_dev_predictions(tmp_path, {}, epoch=2)
    reported = attempt(config, tmp_path)
    assert best_place(reported) == 0 and len(reported) == 4
    assert dev_predictions_file(tmp_path).read_bytes() == before


def test_before_a_first_epoch_there_are_none(tmp_path, monkeypatch):
    config = config_of()
    state = RunState(tmp_path / "state", config, Process(), minutes=1e-9)
    run = TrainingRun(config, process=Process(), folder=tmp_path, state=state)
    epochs = run.epochs()
    monkeypatch.setattr(run, "evaluate_epoch", lambda losses: None)
    next(epochs)
    write_dev_predictions(tmp_path, {}, epoch=1)
    again = run_of(config, tmp_path)
    assert again.progress.step == 15 and again.progress.num_ended == 0
    assert not dev_predictions_file(tmp_path).parent.exists()


def test_a_state_that_has_none_is_taken(tmp_path):
    """As saved before there were any."""
    config = config_of()
    attempt(config, tmp_path, die_at=20)
    [file] = (tmp_path / "state").glob("*.pt")
    state = torch.load(file, weights_only=True)
    del state["predictions"]
    torch.save(state, file)
    assert run_of(config, tmp_path).progress.num_ended == 1
    assert not dev_predictions_file(tmp_path).exists()


@pytest.mark.parametrize("has_others", [False, True])
def test_a_run_that_diverges_keeps_none_and_leaves_other_files(tmp_path, monkeypatch, has_others):
    run = run_of(config_of(), tmp_path)
    results = run.epochs()
    next(results)
    assert dev_predictions_file(tmp_path).is_file()
    other = tmp_path / "predictions" / "sst-dev-output.csv"
    if has_others:
        other.touch()

    def diverge(*_, **__):
        raise DivergedError("the outputs of sst are not finite")

    monkeypatch.setattr(loop, "evaluate", diverge)
    with pytest.raises(DivergedError):
        next(results)
    assert not dev_predictions_file(tmp_path).exists()
    assert other.exists() == (tmp_path / "predictions").exists() == has_others


def test_without_a_folder_none_are_kept(tmp_path):
    config = config_of(epochs=2)
    run = TrainingRun(config, process=Process(), state=RunState(tmp_path / "state", config, Process()))
    list(metered_epochs(run))
    [file] = (tmp_path / "state").glob("*.pt")
    assert torch.load(file, weights_only=True)["predictions"] == {}


def test_two_ranks_keep_those_of_all_rows_once(tmp_path):
    config = config_of(batch_size=15, epochs=1)
    [of_main, _] = train_in_ranks(config, tmp_path)
    assert sorted(path.name for path in (tmp_path / "ranks").iterdir()) == [
        "checkpoint",
        "last.safetensors",
        "predictions",
    ]
    again = rescored(tmp_path / "ranks", config)
    assert again == {name: pytest.approx(of_main[0][name], abs=1e-6) for name in again}
    assert len(read_dev_predictions(tmp_path / "ranks")[1]["quora"].values) == 60


def test_without_ray_they_are_kept_too_and_not_mixed_with_those_of_another_run(tmp_path):
    config = config_of(epochs=1)
    list(run_alone(config, tmp_path, on_step=lambda step, total: None))
    epoch, kept = read_dev_predictions(tmp_path)
    assert epoch == 1 and np.array_equal(np.unique(kept["quora"].labels), [0, 1])
