"""Objectives against what is known of their metrics: directions, references, constraints, names of tasks' metrics."""

from pathlib import Path

import pytest
from space_text import space_text

from mtbert_ray.errors import ConfigError
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


def mistakes(objective: str, folder: Path, **options) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(objective, folder, **options)
    return [problem.replace(f"{folder}/space.yaml", "F") for problem in caught.value.problems]


def test_case_14_a_score_minimized_and_seconds_maximized(cases: Path):
    path = cases / "14-minimize-score.yaml"
    with pytest.raises(ConfigError) as caught:
        load_search_space(path)
    assert caught.value.problems == (
        f"{path}:3: objectives.dev_score.direction has 'minimize', but of dev_score more is better; "
        "write direction: maximize",
        f"{path}:4: objectives.train_seconds.direction has 'maximize', but of train_seconds less is better; "
        "write direction: minimize",
    )


@pytest.mark.parametrize(
    ("name", "reference", "wrong", "better"),
    [
        ("topic", 0.4, "minimize", "more"),
        ("topic.f1_macro", 0.4, "minimize", "more"),
        ("grade.mae", 2, "maximize", "less"),
        ("leaderboard_score", 0.4, "minimize", "more"),
        ("peak_rss_gib", 16, "maximize", "less"),
        ("trainable_percent", 50, "maximize", "less"),
        ("train_loss", 3, "maximize", "less"),
    ],
)
def test_a_direction_that_contradicts_the_metric(tmp_path: Path, name: str, reference: float, wrong: str, better: str):
    right = {"minimize": "maximize", "maximize": "minimize"}[wrong]
    lines = f"{name}:\n  reference: {reference}\n  direction: {wrong}"
    assert mistakes(lines, tmp_path) == [
        f"F:5: objectives.{name}.direction has '{wrong}', but of {name} {better} is better; write direction: {right}"
    ]
    assert name in load(lines.replace(wrong, right), tmp_path).objectives


def test_a_gpu_s_utilization_is_wanted_either_way(tmp_path: Path):
    for direction in ("maximize", "minimize"):
        objective = f"gpu_utilization_mean: {{direction: {direction}, reference: 50}}"
        assert load(objective, tmp_path).objectives["gpu_utilization_mean"].direction == direction
    assert mistakes("gpu_utilization_mean: {direction: minimize, reference: 0}", tmp_path) == [
        "F:3: objectives.gpu_utilization_mean.reference has 0; no trial can be better, since gpu_utilization_mean is "
        "never below 0; give one above 0"
    ]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("sst: {direction: maximize, reference: 7}", "sst.reference has 7; no trial can be better, since sst is never "
        "above 1; give one below 1; 7% is 0.07"),
        ("sst: {direction: maximize, reference: 1}", "sst.reference has 1; no trial can be better, since sst is never "
        "above 1; give one below 1"),
        ("sst: {direction: maximize, reference: -3}", "sst.reference has -3; sst is never below 0; give 0 or more"),
        ("grade: {direction: maximize, reference: -1.5}", "grade.reference has -1.5; grade is never below -1; give -1 "
        "or more"),
        ("cpu_seconds: {direction: minimize, reference: -60}", "cpu_seconds.reference has -60; no trial can be better, "
        "since cpu_seconds is never below 0; give one above 0"),
        ("grade.rmse: {direction: minimize, reference: 0}", "grade.rmse.reference has 0; no trial can be better, since "
        "grade.rmse is never below 0; give one above 0"),
        ("trainable_percent: {direction: minimize, reference: 250}", "trainable_percent.reference has 250; "
        "trainable_percent is never above 100; give 100 or less"),
        ("dev_score: {direction: maximize, reference: 0.2, constraint: 1.5}", "dev_score.constraint has 1.5; no trial "
        "can meet it, since dev_score is never above 1"),
        ("cpu_seconds: {direction: minimize, reference: 60, constraint: 0}", "cpu_seconds.constraint has 0; no trial "
        "can meet it, since cpu_seconds is never below 0"),
        ("trainable_percent: {direction: minimize, reference: 100, constraint: 100}", "trainable_percent.constraint "
        "has 100; every trial meets it, since trainable_percent is never above 100; take it out"),
        ("topic.mcc: {direction: maximize, reference: -1, constraint: -1}", "topic.mcc.constraint has -1; every trial "
        "meets it, since topic.mcc is never below -1; take it out"),
        ("topic.auroc: {direction: maximize, reference: 0.5, attainable: 90}", "topic.auroc.attainable has 90; no "
        "trial can attain it, since topic.auroc is never above 1; 90% is 0.9"),
    ],
)  # fmt: skip
def test_a_bound_where_the_metric_never_is(tmp_path: Path, objective: str, expected: str):
    assert mistakes(objective, tmp_path) == [f"F:3: objectives.{expected}"]


def test_dev_score_may_be_below_zero_only_where_a_task_is_scored_by_a_correlation(tmp_path: Path):
    objective = "dev_score: {direction: maximize, reference: -0.5}"
    assert load(objective, tmp_path).objectives["dev_score"].reference == -0.5
    assert mistakes(objective, tmp_path, overrides=["tasks=[sst]"]) == [
        "F:3: objectives.dev_score.reference has -0.5; dev_score is never below 0; give 0 or more"
    ]


def test_a_stand_in_of_the_other_direction(tmp_path: Path):
    objective = "gpu_utilization_mean: {direction: maximize, reference: 10, fallback: trainable_percent}"
    assert mistakes(objective, tmp_path) == [
        "F:3: objectives.gpu_utilization_mean.fallback: of trainable_percent less is better, and of "
        "gpu_utilization_mean here the contrary; a stand-in needs the same direction"
    ]


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
    assert mistakes(f"{name}: {{direction: maximize, reference: 0.2}}", tmp_path) == [
        f"F:3: objectives has the unknown metric '{name}'{expected}"
    ]


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
    assert mistakes(objective, tmp_path, overrides=["objectives.topic.f1_macro.reference=30"]) == [
        "--set objectives.topic.f1_macro.reference=30: objectives.topic.f1_macro.reference has 30; no trial can be "
        "better, since topic.f1_macro is never above 1; give one below 1; 30% is 0.3"
    ]
