"""Objectives against what is known of their metrics: directions, references, constraints, names of tasks' metrics."""

from pathlib import Path

import pytest
from mistake_cases import OBJECTIVE_MISTAKES, fields
from space_text import space_text

from mtbert_ray.errors import ConfigError, Mistake
from mtbert_ray.metrics import known_metrics
from mtbert_ray.study.space.load import load_search_space
from mtbert_ray.study.space.model import SearchSpace

SECONDS = "train_seconds: {direction: minimize, reference: 100}"
TASKS = """\
tasks:
  - sst
  - name: topic
    kind: classification
    num_classes: 3
    source: {train: a.csv, dev: b.csv, columns: {sentence1: text}}
  - name: grade
    kind: regression
    label_range: [0, 5]
    source: {train: a.csv, dev: b.csv, columns: {sentence1: text}}
"""
OF_TOPIC = "(topic, topic.accuracy, topic.f1_macro, topic.mcc, topic.auroc, topic.f1.CLASS with CLASS one of 0, 1, 2)"
OF_GRADE = "(grade, grade.pearson, grade.spearman, grade.mae, grade.rmse)"


def text_of(objective: str, tasks: str = TASKS) -> str:
    return space_text(f"{objective}\n{SECONDS}", f"encoder: tiny\n{tasks}")


def load(objective: str, folder: Path, **options) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text_of(objective))
    return load_search_space(path, **options)


def mistakes(objective: str, folder: Path, **options) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        load(objective, folder, **options)
    return caught.value.problems


@pytest.mark.filterwarnings("ignore:.*is called .* now")
def test_case_14_a_score_minimized_and_seconds_maximized(cases: Path):
    with pytest.raises(ConfigError) as caught:
        load_search_space(next(cases.glob("14-*.yaml")))
    assert fields(caught.value.problems) == [
        (3, "objectives.dev_score.direction", "conflict"),
        (4, "objectives.train_seconds.direction", "conflict"),
    ]


@pytest.mark.parametrize(
    ("name", "reference", "wrong"),
    [
        ("topic", 0.4, "minimize"),
        ("topic.f1_macro", 0.4, "minimize"),
        ("grade.mae", 2, "maximize"),
        ("leaderboard_score", 0.4, "minimize"),
        ("peak_rss_gib", 16, "maximize"),
        ("trainable_percent", 50, "maximize"),
        ("train_loss", 3, "maximize"),
    ],
)
def test_a_direction_that_contradicts_the_metric(tmp_path: Path, name: str, reference: float, wrong: str):
    right = {"minimize": "maximize", "maximize": "minimize"}[wrong]
    lines = f"{name}:\n  reference: {reference}\n  direction: {wrong}"
    [problem] = mistakes(lines, tmp_path)
    assert (problem.line, problem.key, problem.code) == (5, f"objectives.{name}.direction", "conflict")
    assert problem.endswith(f"write direction: {right}")
    assert name in load(lines.replace(wrong, right), tmp_path).objectives


def test_a_gpu_s_utilization_is_wanted_either_way(tmp_path: Path):
    for direction in ("maximize", "minimize"):
        objective = f"gpu_utilization_mean: {{direction: {direction}, reference: 50}}"
        assert load(objective, tmp_path).objectives["gpu_utilization_mean"].direction == direction
    objective = "gpu_utilization_mean: {direction: minimize, reference: 0}"
    assert fields(mistakes(objective, tmp_path)) == [(3, "objectives.gpu_utilization_mean.reference", "out_of_bounds")]


@pytest.mark.parametrize(("objective", "expected"), OBJECTIVE_MISTAKES)
def test_a_bound_where_the_metric_never_is(tmp_path: Path, objective: str, expected: tuple[str, str]):
    assert fields(mistakes(objective, tmp_path)) == [(3, *expected)]


def test_dev_score_may_be_below_zero_only_where_a_task_is_scored_by_a_correlation(tmp_path: Path):
    objective = "dev_score: {direction: maximize, reference: -0.5}"
    assert load(objective, tmp_path).objectives["dev_score"].reference == -0.5
    found = mistakes(objective, tmp_path, overrides=["tasks=[sst]"])
    assert fields(found) == [(3, "objectives.dev_score.reference", "out_of_bounds")]


def test_a_fallback_of_the_other_direction(tmp_path: Path):
    objective = "gpu_utilization_mean: {direction: maximize, reference: 10, fallback: trainable_percent}"
    [problem] = mistakes(objective, tmp_path)
    assert (problem.line, problem.key) == (3, "objectives.gpu_utilization_mean.fallback")
    assert "direction" in problem


# Metrics of tasks


@pytest.mark.parametrize(
    ("name", "direction", "metrics"),
    [
        ("topic.f1_macro", "maximize", {"topic": ["accuracy", "f1_macro"]}),
        ("topic.accuracy", "maximize", {"topic": ["accuracy"]}),
        ("topic.f1.2", "maximize", {"topic": ["accuracy", "f1.2"]}),
        ("grade.mae", "minimize", {"grade": ["pearson", "mae"]}),
        ("sst.mcc", "maximize", {"sst": ["accuracy", "mcc"]}),
        ("topic", "maximize", {}),
    ],
)
def test_a_metric_that_an_objective_names_is_one_that_the_trials_compute(tmp_path, name, direction, metrics):
    space = load(f"{name}: {{direction: {direction}, reference: 0.3}}", tmp_path)
    assert list(space.objectives) == [name, "train_seconds"]
    assert {task.name: list(task.metrics) for task in space.tasks if task.metrics} == metrics
    # A trial's configuration reproduces it, and so does the journal's search space.
    again = SearchSpace.model_validate_json(space.with_absolute_paths().model_dump_json())
    for config in (space.any_config(), again.any_config()):
        assert {task.name: list(task.metrics) for task in config.tasks if task.metrics} == metrics
        assert [task.name for task in config.tasks] == ["sst", "topic", "grade"]
        assert name in known_metrics(config.tasks)


def test_of_the_tasks_by_default_one_can_be_completed_too(tmp_path: Path):
    objective = "quora.f1_macro: {direction: maximize, reference: 0.3}"
    path = tmp_path / "space.yaml"
    path.write_text(text_of(objective, tasks=""))
    space = load_search_space(path)
    assert [(task.name, task.metrics) for task in space.tasks] == [
        *(("sst", ()), ("quora", ("accuracy", "f1_macro")), ("sts", ()))
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("topic.f1_marco", f"; did you mean 'topic.f1_macro'? {OF_TOPIC}"),
        ("topic.f1.7", f"; did you mean 'topic.f1.2'? {OF_TOPIC}"),
        ("topic.rmse", f" {OF_TOPIC}"),
        ("grade.maee", f"; did you mean 'grade.mae'? {OF_GRADE}"),
        ("grade.f1.1", f" {OF_GRADE}"),
    ],
)
def test_a_misspelt_metric_of_a_task_gets_the_nearest_right_name(tmp_path: Path, name: str, expected: str):
    [problem] = mistakes(f"{name}: {{direction: maximize, reference: 0.2}}", tmp_path)
    assert (problem.line, problem.key, problem.code) == (3, f"objectives.{name}", "unknown_metric")
    assert problem.endswith(expected)


def test_a_class_by_name_and_one_that_only_the_rows_will_tell(tmp_path: Path):
    objective = "topic.f1.outage: {direction: maximize, reference: 0.2}"
    path = tmp_path / "space.yaml"
    named = text_of(objective, TASKS.replace("num_classes: 3", "classes: [billing, outage]"))
    path.write_text(named)
    assert load_search_space(path).tasks[1].metrics == ("accuracy", "f1.outage")
    path.write_text(named.replace("outage:", "outgae:"))
    with pytest.raises(ConfigError, match=r"did you mean 'topic\.f1\.outage'\?.*CLASS one of billing, outage"):
        load_search_space(path)
    path.write_text(text_of(objective, TASKS.replace("    num_classes: 3\n", "")))
    assert load_search_space(path).tasks[1].metrics == ("accuracy", "f1.outage")


def test_an_option_reaches_an_objective_whose_name_has_a_dot(tmp_path: Path):
    objective = "topic.f1_macro: {direction: maximize, reference: 0.2}"
    space = load(objective, tmp_path, overrides=["objectives.topic.f1_macro.reference=0.3"])
    assert space.objectives["topic.f1_macro"].reference == 0.3
    new = ["objectives.grade.mae={direction: minimize, reference: 2}"]
    assert "grade.mae" in load(objective, tmp_path, overrides=new).objectives
    option = "objectives.topic.f1_macro.reference=30"
    [problem] = mistakes(objective, tmp_path, overrides=[option])
    assert (problem.place, problem.key) == (f"--set {option}", "objectives.topic.f1_macro.reference")
    assert problem.code == "out_of_bounds"
