"""The bootstrap over dev rows against scikit-learn and scipy on the rows drawn, and formulas of its variance."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from mtbert_ray.metrics import task_scores
from mtbert_ray.scoring import resampled_metrics
from mtbert_ray.scoring.bootstrap import bootstrap_scores
from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.scoring.resampled_metrics import has_value, resampled_metric
from mtbert_ray.scoring.weighted_ranks import auroc_gradient, spearman_gradient
from mtbert_ray.tasks import QUORA, SST, STS, TaskSpec

TOPIC = SST.model_copy(
    update={"name": "topic", "num_classes": 3, "metrics": ("accuracy", "f1_macro", "mcc", "f1.1", "auroc")}
)
BINARY = QUORA.model_copy(update={"metrics": ("mcc", "auroc", "f1_macro", "f1.0")})
GRADE = STS.model_copy(update={"metrics": ("pearson", "spearman", "mae", "rmse")})


def classified(rng, num_rows, num_classes, *, hit_rate=0.6, labels=None):
    labels = rng.integers(num_classes, size=num_rows) if labels is None else labels
    probabilities = rng.dirichlet(np.ones(num_classes), size=num_rows).round(1)  # With ties.
    values = np.where(rng.random(num_rows) < hit_rate, labels, rng.integers(num_classes, size=num_rows))
    return TaskPredictions.of(
        values.astype(float), labels.astype(float), num_classes=num_classes, probabilities=probabilities
    )


def graded(rng, num_rows, *, noise=1.0, labels=None):
    labels = rng.integers(0, 6, size=num_rows).astype(float) if labels is None else labels
    values = (labels + noise * rng.normal(size=num_rows)).round(1)
    return TaskPredictions.of(values, labels, num_classes=None)


def by_library(task, metric, kept, rows):
    values, labels = kept.values[rows], kept.labels[rows]
    match metric:
        case "accuracy":
            return (values == labels).mean()
        case "f1_macro":
            return sk.f1_score(labels, values, average="macro")
        case "mcc":
            return sk.matthews_corrcoef(labels, values)
        case "pearson":
            return stats.pearsonr(values, labels).statistic
        case "spearman":
            return stats.spearmanr(values, labels).statistic
        case "mae":
            return sk.mean_absolute_error(labels, values)
        case "rmse":
            return sk.root_mean_squared_error(labels, values)
        case "auroc":
            probabilities = kept.probabilities[rows].astype(float)
            classes = [1] if task.num_classes == 2 else range(task.num_classes)
            return np.mean([sk.roc_auc_score(labels == index, probabilities[:, index]) for index in classes])
    index = task.class_names.index(metric.removeprefix("f1."))
    return sk.f1_score(labels == index, values == index)


@pytest.mark.parametrize("task", [TOPIC, BINARY, GRADE], ids=lambda task: task.name)
def test_each_metric_on_rows_drawn_is_that_of_the_libraries(task):
    rng = np.random.default_rng(1)
    make = graded if task.kind.is_regression else lambda *a, **k: classified(*a, task.num_classes, **k)
    first = make(rng, 60)
    runs = [first, make(rng, 60, labels=first.labels.astype(float))]
    rows = rng.integers(60, size=(60, 25))
    counts = np.stack([np.bincount(column, minlength=60) for column in rows.T], axis=1).astype(np.float32)
    for metric in task.metric_names:
        scores = resampled_metric(task, metric, runs)(counts)
        expected = [[by_library(task, metric, run, column) for run in runs] for column in rows.T]
        np.testing.assert_allclose(scores, expected, atol=2e-6, err_msg=metric)


@pytest.mark.parametrize("metric", ["spearman", "auroc"])
def test_the_first_order_of_rank_metrics_is_close_to_ranking_anew(metric, monkeypatch):
    rng = np.random.default_rng(2)
    task = GRADE if metric == "spearman" else TOPIC
    run = graded(rng, 600) if metric == "spearman" else classified(rng, 600, 3)
    rows = rng.integers(600, size=(600, 300))
    counts = np.stack([np.bincount(column, minlength=600) for column in rows.T], axis=1).astype(np.float32)
    approximate = resampled_metric(task, metric, [run])(counts)[:, 0]
    monkeypatch.setattr(resampled_metrics, "MAX_ROWS_RANKED", 600)
    exact = resampled_metric(task, metric, [run])(counts)[:, 0]
    assert np.corrcoef(approximate, exact)[0, 1] > 0.99
    assert approximate.std() == pytest.approx(exact.std(), rel=0.02)
    assert abs(approximate.mean() - exact.mean()) < 0.1 * exact.std()


@pytest.mark.parametrize("metric", ["spearman", "auroc"])
def test_the_gradient_of_rank_metrics_is_what_a_little_more_of_a_row_changes(metric):
    rng = np.random.default_rng(3)
    task = GRADE if metric == "spearman" else BINARY
    run = graded(rng, 50) if metric == "spearman" else classified(rng, 50, 2)
    score = resampled_metric(task, metric, [run])
    step = 1e-4
    if metric == "spearman":
        value, gradient = spearman_gradient(run.values, run.labels)
    else:
        value, gradient = auroc_gradient(run.probabilities[:, 1], run.labels == 1)
    assert value == pytest.approx(score(np.ones((50, 1)))[0, 0])
    assert gradient.sum() == pytest.approx(0, abs=1e-12)
    more, less = score(1 + step * np.eye(50))[:, 0], score(1 - step * np.eye(50))[:, 0]
    np.testing.assert_allclose(gradient, (more - less) / (2 * step), rtol=1e-4, atol=1e-7)


def test_means_over_tasks_are_those_of_the_journal():
    rng = np.random.default_rng(3)
    tasks = (SST, QUORA.model_copy(update={"weight": 2.0}), STS)
    runs = [{"sst": classified(rng, 40, 5), "quora": classified(rng, 30, 2), "sts": graded(rng, 50)} for _ in range(2)]
    scores = bootstrap_scores(tasks, runs, num_draws=20)
    for place in range(2):
        own = {task.name: scores[task.name].observed[place] for task in tasks}
        for name, value in task_scores(tasks, own).items():
            assert scores[name].observed[place] == pytest.approx(value)
        of_draw = {task.name: scores[task.name].draws[7, place] for task in tasks}
        assert scores["leaderboard_score"].draws[7, place] == pytest.approx(
            task_scores(tasks, of_draw)["leaderboard_score"]
        )


def test_spread_of_accuracy_and_of_a_paired_difference_are_those_of_the_binomial():
    rng = np.random.default_rng(4)
    labels = rng.integers(2, size=400).astype(float)
    first = classified(rng, 400, 2, hit_rate=0.5, labels=labels)
    values = first.values.copy()
    values[:30] = 1 - values[:30]  # The second differs in 30 rows alone.
    second = TaskPredictions(values=values, labels=first.labels)
    drawn = bootstrap_scores((QUORA,), [{"quora": first}, {"quora": second}], num_draws=4000)["quora"]
    share = drawn.observed[0]
    assert drawn.draws[:, 0].std() == pytest.approx(np.sqrt(share * (1 - share) / 400), rel=0.05)
    difference = drawn.observed[0] - drawn.observed[1]
    expected = np.sqrt((30 / 400 - difference**2) / 400)
    assert (drawn.draws[:, 0] - drawn.draws[:, 1]).std() == pytest.approx(expected, rel=0.05)


def test_runs_with_other_dev_rows_are_drawn_apart():
    rng = np.random.default_rng(5)
    first, second = classified(rng, 200, 2), classified(rng, 200, 2)
    same = TaskPredictions(values=first.values, labels=first.labels)
    draws = bootstrap_scores((QUORA,), [{"quora": run} for run in (first, second, same)], num_draws=2000)["quora"].draws
    assert (draws[:, 0] == draws[:, 2]).all()
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.1


def test_resamples_without_a_class_are_drawn_again():
    rng = np.random.default_rng(6)
    task = QUORA.model_copy(update={"metrics": ("auroc",)})
    labels = np.zeros(30)
    labels[0] = 1
    run = classified(rng, 30, 2, labels=labels)
    draws = bootstrap_scores((task,), [{"quora": run}], num_draws=500)["quora"].draws
    assert np.isfinite(draws).all()
    only_zeros = np.ones((30, 1), dtype=np.float32)
    only_zeros[0] = 0
    assert not has_value(task, "auroc", run.labels, only_zeros).any()
    assert has_value(task, "accuracy", run.labels, only_zeros).all()


def test_where_no_resample_has_a_value_there_are_no_draws():
    rng = np.random.default_rng(7)
    task = SST.model_copy(update={"metrics": ("auroc",), "num_classes": 40})
    run = classified(rng, 40, 40, labels=np.arange(40.0))
    drawn = bootstrap_scores((task,), [{"sst": run}], num_draws=20)["sst"]
    assert np.isnan(drawn.draws).all()
    assert np.isfinite(drawn.observed).all()


def test_the_same_seed_draws_the_same_and_another_one_does_not():
    rng = np.random.default_rng(8)
    runs = [{"sts": graded(rng, 50)}]
    first, again, other = (bootstrap_scores((STS,), runs, num_draws=50, seed=seed)["sts"].draws for seed in (1, 1, 2))
    assert (first == again).all()
    assert not (first == other).any()


def test_every_trial_with_constant_predictions_scores_zero_not_nan():
    labels = np.arange(20.0) % 2
    constant = TaskPredictions.of(np.zeros(20), labels, num_classes=2)
    task = QUORA.model_copy(update={"metrics": ("mcc", "f1.1")})
    drawn = bootstrap_scores((task,), [{"quora": constant}], num_draws=30)
    assert (drawn["quora"].draws == 0).all()
    assert (drawn["quora.f1.1"].draws == 0).all()


def test_a_task_alone_has_its_score_as_mean():
    rng = np.random.default_rng(9)
    task = TaskSpec(name="sts", kind="pair_regression", label_range=(0, 5), metrics=("spearman", "mae"))
    drawn = bootstrap_scores((task,), [{"sts": graded(rng, 40)}], num_draws=30)
    np.testing.assert_allclose(drawn["dev_score"].draws, drawn["sts"].draws)
    np.testing.assert_allclose(drawn["leaderboard_score"].draws, (drawn["sts"].draws + 1) / 2)
    assert set(drawn) == {"sts", "sts.spearman", "sts.mae", "dev_score", "leaderboard_score"}


def test_a_metric_that_hardly_any_resample_allows_takes_no_other_s_noise():
    rng = np.random.default_rng(2)
    many = TOPIC.model_copy(update={"num_classes": 60, "metrics": ("accuracy", "auroc")})
    labels = rng.permutation(np.repeat(np.arange(60), 3))
    scores = bootstrap_scores([many], [{"topic": classified(rng, 180, 60, labels=labels)}], num_draws=50)
    assert np.isfinite(scores["topic"].draws).all() and np.isfinite(scores["dev_score"].draws).all()
    assert np.isnan(scores["topic.auroc"].draws).all()


def test_a_metric_without_a_value_on_the_rows_themselves_takes_no_other_s_noise():
    rng = np.random.default_rng(3)
    one_absent = rng.integers(2, size=100)
    task = TOPIC.model_copy(update={"metrics": ("accuracy", "auroc")})
    scores = bootstrap_scores([task], [{"topic": classified(rng, 100, 3, labels=one_absent)}], num_draws=50)
    assert np.isfinite(scores["topic"].draws).all() and np.isnan(scores["topic.auroc"].draws).all()
