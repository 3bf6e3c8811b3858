import numpy as np
import pytest
from scipy import stats

from mtbert_ray.metrics import task_scores
from mtbert_ray.tasks import QUORA, SST, STS
from mtbert_ray.training.evaluate import score


def test_accuracy_is_the_share_of_equal_classes():
    assert score(SST, np.array([0.0, 1, 2, 4]), np.array([0.0, 1, 3, 4])) == 0.75


def test_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    predictions, labels = rng.normal(size=50), rng.normal(size=50)
    assert score(STS, predictions, labels) == pytest.approx(stats.pearsonr(predictions, labels)[0])


def test_constant_predictions_correlate_with_nothing():
    assert score(STS, np.full(5, 2.5), np.arange(5.0)) == 0.0


def test_the_paper_s_two_means():
    scores = task_scores((SST, QUORA, STS), {"sst": 0.491, "quora": 0.900, "sts": 0.886})
    assert scores["dev_score"] == pytest.approx((0.491 + 0.900 + 0.886) / 3)
    assert round(scores["leaderboard_score"], 3) == 0.778  # The paper's table 1.
