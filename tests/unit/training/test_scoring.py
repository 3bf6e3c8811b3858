"""Every metric agrees with scikit-learn or scipy where it is defined, and is null with a reason where it is not."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from mtbert_ray.task_metrics import CLASSIFICATION_METRICS, REGRESSION_METRICS
from mtbert_ray.tasks import KNOWN_TASKS, TaskSpec
from mtbert_ray.training.scoring import Score, score, scores_of, undefined_before_training, undefined_by_labels

CLASSES = ("billing", "outage", "praise", "other")


def topic(count: int = 4, **fields) -> TaskSpec:
    source = {"train": "t.csv", "dev": "d.csv", "columns": {}}
    return TaskSpec(name="topic", kind="classification", classes=list(CLASSES[:count]), source=source, **fields)


def mark(**fields) -> TaskSpec:
    source = {"train": "t.csv", "dev": "d.csv", "columns": {}}
    return TaskSpec(name="mark", kind="regression", label_range=(0, 10), source=source, **fields)


def classes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@st.composite
def classified(draw):
    """Labels, predictions and float32 probabilities as a softmax gives them; ties and absent classes are common."""
    count, rows = draw(st.integers(2, 4)), draw(st.integers(1, 25))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, draw(st.integers(1, count)), rows).astype(np.float64)
    predictions = rng.integers(0, draw(st.integers(1, count)), rows).astype(np.float64)
    logits = rng.integers(-2, 3, (rows, count)) if draw(st.booleans()) else rng.normal(size=(rows, count))
    exponents = np.exp(logits.astype(np.float32))
    return count, labels, predictions, (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float64)


@settings(max_examples=150)
@given(classified())
def test_classification_metrics_are_those_of_scikit_learn(drawn):
    count, labels, predictions, probabilities = drawn
    task = topic(count)
    found = {name: score(task, name, predictions, labels, probabilities) for name in CLASSIFICATION_METRICS}
    assert found["accuracy"].value == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions), abs=1e-12)
    macro = sklearn_metrics.f1_score(labels, predictions, average="macro")
    assert found["f1_macro"].value == pytest.approx(macro, abs=1e-12)
    if len(set(labels)) > 1 and len(set(predictions)) > 1:
        assert found["mcc"].value == pytest.approx(sklearn_metrics.matthews_corrcoef(labels, predictions), abs=1e-12)
    else:
        assert found["mcc"].value is None and found["mcc"].reason
    if len(set(labels)) == count:
        scores = probabilities[:, 1] if count == 2 else probabilities
        theirs = sklearn_metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert found["auroc"].value == pytest.approx(theirs, abs=1e-12)
    else:
        assert found["auroc"].value is None and found["auroc"].reason
    each = sklearn_metrics.f1_score(labels, predictions, average=None, labels=range(count), zero_division=np.nan)
    for index, theirs in enumerate(each):
        ours = score(task, f"f1.{CLASSES[index]}", predictions, labels)
        occurs = index in labels or index in predictions
        assert ours.value == (pytest.approx(theirs, abs=1e-12) if occurs else None)
        assert (ours.reason is None) is occurs


numbers = st.floats(-1e6, 1e6, width=32) | st.integers(-3, 3).map(float)


@settings(max_examples=150)
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=25))
def test_regression_metrics_are_those_of_scipy_and_scikit_learn(rows):
    predictions, labels = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    # Values within rounding are tested below.
    assume(all(np.ptp(each) > 1e-3 * np.abs(each).max() for each in (predictions, labels)))
    found = {name: score(mark(), name, predictions, labels).value for name in REGRESSION_METRICS}
    assert found["pearson"] == pytest.approx(stats.pearsonr(predictions, labels).statistic, abs=1e-12)
    with np.errstate(all="ignore"):
        assert found["spearman"] == pytest.approx(stats.spearmanr(predictions, labels).statistic, abs=1e-12)
    assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(labels, predictions))
    assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(labels, predictions))


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@given(size=st.floats(width=32, allow_nan=False, allow_infinity=False).filter(bool), seed=st.integers(0, 99))
def test_predictions_that_differ_by_one_step_of_float32_correlate_with_nothing(metric, size, seed):
    """scipy correlates the noise, in float64 without a warning."""
    rng = np.random.default_rng(seed)
    base = np.float32(size)
    with np.errstate(over="ignore"):
        predictions = np.where(rng.random(40) < 0.5, base, np.nextafter(base, np.float32(0))).astype(np.float64)
    found = score(mark(), metric, predictions, rng.normal(size=40))
    assert found.value is None
    assert found.reason.startswith("every prediction is")


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-6, 1.0, 1e6, 1e30, 1e200, 1e300])
def test_predictions_of_any_size_correlate_where_they_differ_by_more_than_rounding(metric, scale):
    labels = np.array([0.0, 3.0, 1.0, 2.0, 5.0])
    assert score(mark(), metric, labels * scale, labels).value == pytest.approx(1.0)
    assert score(mark(), metric, labels, -labels * scale).value == pytest.approx(-1.0)
    assert score(mark(), metric, (1 + labels * 1e-5) * scale, labels).value == pytest.approx(1.0)


def test_two_rows_have_a_correlation_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in ("pearson", "spearman"):
            assert score(mark(), metric, np.array([1.0, 2.0]), np.array([0.0, 4.0])).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "predictions", "labels", "reason"),
    [
        ("pearson", [1.0], [2.0], "there is one row only"),
        ("spearman", [1.0, 2.0], [2.5, 2.5], "every label is 2.5"),
        ("pearson", [2.5, 2.5], [1.0, 2.0], "every prediction is 2.5"),
        ("pearson", [0.0, 0.0], [1.0, 2.0], "every prediction is 0"),
        ("spearman", [2.5, 2.5 + 2**-22], [1.0, 2.0], "every prediction is 2.5, but for rounding"),
        ("pearson", [1.0, 2.0], [1e8, 1e8 + 8], "every label is 1e+08, but for rounding"),
        *((metric, [], [], "no row has a label") for metric in REGRESSION_METRICS),
        ("rmse", [1e200, 0.0], [0.0, 0.0], "labels and predictions are too large to be compared"),
    ],
)
def test_a_regression_s_undefined_scores_say_why(metric, predictions, labels, reason):
    assert score(mark(), metric, np.array(predictions), np.array(labels)) == Score(None, reason)


@pytest.mark.parametrize(
    ("metric", "predictions", "labels", "reason"),
    [
        ("mcc", [0, 1], [2, 2], "every label is of class 'praise'"),
        ("mcc", [1, 1], [0, 2], "every prediction is of class 'outage'"),
        ("mcc", [1], [0], "every label is of class 'billing'"),
        ("auroc", [0, 1], [2, 2], "every label is of class 'praise'"),
        ("auroc", [0, 1, 2], [0, 1, 2], "no label is of class 'other'"),
        ("f1.other", [0, 1], [2, 2], "class 'other' is neither among the labels nor among the predictions"),
    ],
)
def test_a_classification_s_undefined_scores_say_why(metric, predictions, labels, reason):
    probabilities = np.full((len(labels), 4), 0.25)
    assert score(topic(), metric, classes(*predictions), classes(*labels), probabilities) == Score(None, reason)


def test_what_scikit_learn_defines_for_one_class_and_one_row_is_no_null():
    assert score(topic(), "f1_macro", classes(1, 1), classes(1, 1)).value == 1.0
    assert score(topic(), "f1_macro", classes(0), classes(1)).value == 0.0
    assert score(topic(), "accuracy", classes(0), classes(1)).value == 0.0
    assert score(topic(), "f1.other", classes(3, 0), classes(1, 0)).value == 0.0  # Predicted, and never right.


def test_a_correlation_of_float32_outputs_is_that_of_the_same_numbers_as_float64():
    rng = np.random.default_rng(1)
    predictions = (2.5 + 1e-3 * rng.normal(size=200)).astype(np.float32).astype(np.float64)
    labels = rng.normal(size=200)
    assert score(mark(), "pearson", predictions, labels).value == stats.pearsonr(predictions, labels).statistic


def test_scores_are_told_by_task_by_metric_and_as_weighted_means():
    tasks = (topic(metrics=["f1_macro", "accuracy"], weight=3.0), mark(metrics=["spearman", "mae"]))
    scored = {
        "topic": {"f1_macro": Score(0.8), "accuracy": Score(0.9)},
        "mark": {"spearman": Score(0.4), "mae": Score(1.5)},
    }
    scores = scores_of(tasks, scored)
    assert scores.values == {
        "topic": 0.8,
        "topic.f1_macro": 0.8,
        "topic.accuracy": 0.9,
        "mark": 0.4,
        "mark.spearman": 0.4,
        "mark.mae": 1.5,
        "dev_score": pytest.approx((3 * 0.8 + 0.4) / 4),
        "leaderboard_score": pytest.approx((3 * 0.8 + 0.7) / 4),
    }
    assert scores.undefined == {}


def test_a_task_without_metrics_of_its_own_is_told_as_before():
    tasks = tuple(KNOWN_TASKS.values())
    scored = {"sst": {"accuracy": Score(0.5)}, "quora": {"accuracy": Score(0.7)}, "sts": {"pearson": Score(0.9)}}
    values = scores_of(tasks, scored).values
    assert list(values) == ["sst", "quora", "sts", "dev_score", "leaderboard_score"]
    assert values["dev_score"] == (0.5 + 0.7 + 0.9) / 3


def test_a_mean_over_an_undefined_score_is_undefined_and_an_extra_metric_spoils_none():
    tasks = (topic(metrics=["accuracy", "auroc"]), mark())
    scored = {"topic": {"accuracy": Score(0.9), "auroc": Score(None, "one class")}, "mark": {"pearson": Score(0.4)}}
    scores = scores_of(tasks, scored)
    assert (scores.values["topic.auroc"], scores.values["dev_score"]) == (None, pytest.approx(0.65))
    assert scores.undefined == {"topic.auroc": "one class"}
    scored["mark"] = {"pearson": Score(None, "every label is 2.5")}
    scores = scores_of(tasks, scored)
    assert (scores.values["mark"], scores.values["dev_score"], scores.values["leaderboard_score"]) == (None, None, None)
    assert scores.undefined["dev_score"] == "mark has no pearson: every label is 2.5"


def test_what_labels_alone_rule_out_is_known_before_training():
    tasks = (topic(metrics=["accuracy", "auroc", "mcc", "f1.other"]), mark(metrics=["pearson", "mae"]))
    labels = {"topic": classes(1, 1, 1), "mark": np.array([3.0, 3.0])}
    assert undefined_before_training(tasks, labels) == {
        "topic.auroc": "every label is of class 'outage'",
        "topic.mcc": "every label is of class 'outage'",
        "mark": "every label is 3",
        "mark.pearson": "every label is 3",
        "dev_score": "mark has no pearson: every label is 3",
        "leaderboard_score": "mark has no pearson: every label is 3",
    }
    assert undefined_before_training(tasks, {"topic": classes(0, 1, 2, 3), "mark": np.array([1.0, 2.0])}) == {}


def test_classes_that_are_not_known_yet_are_called_by_their_numbers():
    source = {"train": "t.csv", "dev": "d.csv", "columns": {}}
    task = TaskSpec(name="topic", kind="classification", source=source)
    assert undefined_by_labels(task, "mcc", classes(2, 2)) == "every label is of class '2'"
