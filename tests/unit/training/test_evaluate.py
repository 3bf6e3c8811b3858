"""Predictions are finite or refused, and their scores go by the tasks' own metrics."""

import numpy as np
import pytest
import torch
from scipy import stats

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import DivergedError
from mtbert_ray.metrics import task_scores
from mtbert_ray.models.build import build_model
from mtbert_ray.tasks import QUORA, SST, STS, TaskSpec
from mtbert_ray.training.evaluate import Predicted, evaluate, predict, score_all
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.process import Process

CONFIG = TrialConfig.model_validate(nest({"encoder": "tiny", "data.max_dev_rows": 12, "dropout": 0.0}))


def test_accuracy_is_the_share_of_equal_classes():
    predicted = Predicted(values=np.array([0.0, 1, 2, 4]), probabilities=None)
    assert score_all(SST, predicted, np.array([0.0, 1, 3, 4]))["accuracy"].value == 0.75


def test_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    predictions, labels = rng.normal(size=50), rng.normal(size=50)
    [found] = score_all(STS, Predicted(values=predictions, probabilities=None), labels).values()
    assert found.value == pytest.approx(stats.pearsonr(predictions, labels)[0])


def test_constant_predictions_have_no_correlation():
    [found] = score_all(STS, Predicted(values=np.full(5, 2.5), probabilities=None), np.arange(5.0)).values()
    assert found == (None, "every prediction is 2.5")


def test_the_paper_s_two_means():
    scores = task_scores((SST, QUORA, STS), {"sst": 0.491, "quora": 0.900, "sts": 0.886})
    assert scores["dev_score"] == pytest.approx((0.491 + 0.900 + 0.886) / 3)
    assert round(scores["leaderboard_score"], 3) == 0.778  # The paper's table 1.


def test_the_means_go_by_weight_and_are_null_where_a_score_is():
    heavy = SST.model_copy(update={"weight": 3.0})
    assert task_scores((heavy, STS), {"sst": 0.4, "sts": 0.8})["dev_score"] == pytest.approx(0.5)
    means = task_scores((heavy, STS), {"sst": 0.4, "sts": None})
    assert (means["dev_score"], means["leaderboard_score"]) == (None, None)


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_a_model_is_scored_by_every_metric_that_its_tasks_name(pair_encoding):
    named = {"sst": ["f1_macro", "accuracy", "mcc", "f1.2"], "quora": ["auroc", "f1.1"], "sts": ["spearman", "rmse"]}
    tasks = tuple(
        TaskSpec.model_validate({**task.model_dump(), "metrics": named[task.name]}) for task in (SST, QUORA, STS)
    )
    config = CONFIG.model_copy(update={"tasks": tasks, "pair_encoding": pair_encoding})
    scores = evaluate(build_model(config), tasks, load_inputs(config, "dev"), Process(), bf16=False).scores
    wanted = [name for task in named for name in (task, *(f"{task}.{metric}" for metric in named[task]))]
    assert list(scores.values) == [*wanted, "dev_score", "leaderboard_score"]
    assert all((scores.values[name] is None) == (name in scores.undefined) for name in scores.values)
    assert scores.values["sts.rmse"] > 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("task", [SST, QUORA, STS], ids=lambda task: task.name)
def test_outputs_that_are_not_finite_are_refused_whatever_class_they_come_to(task, bad):
    """argmax makes NaN class 0, and minus infinity is as good a class 0 of two as any number."""
    model = build_model(CONFIG)
    with torch.no_grad():
        model.heads[task.name].scorer.output.bias.fill_(bad)
    rows = load_inputs(CONFIG, "dev")[task.name]
    with pytest.raises(DivergedError, match=f"the outputs of {task.name} are not finite for 12 of 12 rows"):
        predict(model, task, rows, Process(), bf16=False)


def test_outputs_that_overflow_bfloat16_s_forward_are_refused():
    model = build_model(CONFIG)
    with torch.no_grad():
        model.heads["sst"].scorer.output.weight.fill_(3e38)
    with pytest.raises(DivergedError, match="the outputs of sst"):
        predict(model, SST, load_inputs(CONFIG, "dev")["sst"], Process(), bf16=True)
