"""A run whose weights, losses or outputs are ever not finite has failed: it has no score and no checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch
from ranks import failures_in_ranks

from mtbert_ray.config import ProbeConfig, TrialConfig, nest
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import DivergedError
from mtbert_ray.training import loop
from mtbert_ray.training.alone import run_alone
from mtbert_ray.training.evaluate import EpochResult, is_best
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.loss import check_weights
from mtbert_ray.training.process import Process
from mtbert_ray.trial import best_place

ONE_STEP = {
    "encoder": "tiny",
    "epochs": 1,
    "batch_size": 24,
    "tasks": ["sst"],
    "learning_rate": 1e38,
    "data.max_train_rows": 24,
    "data.max_dev_rows": 12,
}
REGRESSION = {"tasks": ["sts"]}


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({**ONE_STEP, **dotted}))


def diverges(config: TrialConfig, folder: Path) -> str:
    with pytest.raises(DivergedError) as caught:
        for _ in run_alone(config, folder, on_step=lambda step, total: None):
            raise AssertionError("an epoch was reported")
    assert not (folder / "checkpoint").exists()
    assert (folder / "metrics.jsonl").read_text() == ""
    return str(caught.value)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {},
        REGRESSION,
        {**REGRESSION, "pair_encoding": "separate"},
        {**REGRESSION, "finetune": "heads_only"},
        {"finetune": "heads_only", "hidden_layers": 2},
        {"adapter.kind": "lora"},
        {"accumulation_steps": 3},
        {"max_grad_norm": None, "schedule": "constant", "learning_rate": 1e38},
        {"precision": "bf16"},
        {"smart.tasks": ["sst"], "smart.steps": 1},
        {"learning_rate": 1e30},
        {**REGRESSION, "learning_rate": 1e25, "finetune": "heads_only"},
    ],
    ids=str,
)
def test_the_only_step_s_divergence_is_a_failure(tmp_path, hyperparameters):
    message = diverges(config_of(**hyperparameters), tmp_path / "run")
    rate = hyperparameters.get("learning_rate", 1e38)
    assert "in epoch 1;" in message and f"{rate:g}" in message


def test_case_03_the_only_step_s_divergence_is_a_failure(cases, tmp_path, monkeypatch):
    shutil.copytree(cases, tmp_path / "cases")
    monkeypatch.chdir(tmp_path / "cases")
    message = diverges(load_config(Path("03-diverged-last-step.yaml")), tmp_path / "run")
    assert "in epoch 1;" in message and "1e+38" in message


def test_a_run_that_diverges_in_a_later_epoch_loses_the_checkpoint_of_the_earlier_one(tmp_path):
    run = TrainingRun(config_of(epochs=2, learning_rate=1e-3, schedule="constant"), process=Process(), folder=tmp_path)
    results = run.epochs()
    assert isinstance(next(results), EpochResult) and (tmp_path / "checkpoint" / "model.safetensors").exists()
    for group in run._steps._optimizer.param_groups:
        group["lr"] = 1e38
    with pytest.raises(DivergedError, match="in epoch 2"):
        next(results)
    assert not (tmp_path / "checkpoint").exists()


def test_weights_that_are_not_finite_on_one_rank_end_every_rank():
    class Peer(Process):
        """One of two ranks, whose peer always finds something."""

        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor + 1

    fine = {"head.weight": torch.nn.Parameter(torch.ones(3))}
    check_weights(fine, Process())
    with pytest.raises(DivergedError, match=r"head\.weight"):
        check_weights(fine, Peer())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_found_among_huge_ones(bad):
    parameters = {"a": torch.nn.Parameter(torch.full((4,), 3e38)), "b": torch.nn.Parameter(torch.zeros(2, 2))}
    check_weights(parameters, Process())
    with torch.no_grad():
        parameters["b"][1, 0] = bad
    with pytest.raises(DivergedError, match="of b"):
        check_weights(parameters, Process())


def test_a_long_epoch_s_divergence_does_not_wait_for_its_end(monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_CHECKS", 3)
    steps = []
    config = config_of(batch_size=2, schedule="constant", warmup_fraction=0.0)
    with pytest.raises(DivergedError):
        list(run_alone(config, tmp_path / "run", on_step=lambda step, total: steps.append((step, total))))
    assert steps[-1][0] <= 6 and steps[-1][1] == 12


def test_a_run_that_has_diverged_has_no_probe():
    config = config_of(batch_size=2, schedule="constant", warmup_fraction=0.0)
    results = TrainingRun(config, process=Process()).epochs(probe=ProbeConfig(warmup_steps=2, steps=3))
    with pytest.raises(DivergedError):
        next(results)


def test_two_ranks_leave_together(tmp_path):
    failures = failures_in_ranks(config_of(tasks=["sst", "sts"], batch_size=8), tmp_path)
    assert [type(failure) for failure in failures] == [DivergedError, DivergedError]
    assert not (tmp_path / "ranks" / "checkpoint").exists()


@pytest.mark.parametrize(
    "scores",
    [[None], [None, None], [None, 0.2, None], [0.2, None], [-0.3, -0.3, -0.2], [None, None, -1.0, None], [0.5, 0.5]],
)
def test_the_checkpoint_kept_is_of_the_epoch_that_counts_as_best(scores):
    best, kept = None, None
    for place, score in enumerate(scores):
        if is_best(score, best):
            best, kept = score, place
    assert kept == best_place([{"dev_score": score} for score in scores])
