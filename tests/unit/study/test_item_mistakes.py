# ruff: noqa: E501  # A mistake a row, and its message to the letter.
"""A mistake inside a list or a mapping stands at the line of its own item, and quotes the wrong value alone.

The same in a search space and in the configuration of one trial.
"""

from pathlib import Path

import pytest
from space_text import space_text

from mtbert_ray.config.file import load_config
from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space.load import load_search_space

OBJECTIVE = "dev_score: {direction: maximize, reference: 0.2}"
CONFIG = """\
encoder: tiny
tasks:
  - sst
  - name: topic
    kind: classification
    num_classes: 3
    source:
      train: a.csv
      dev: b.csv
      columns: {sentence1: text}
  - {name: same, kind: pair_classification, num_classes: 2, source: {dataset: x/y, columns: {sentence2: b}}}
"""
BELOW = space_text(OBJECTIVE, CONFIG).count("\n") - CONFIG.count("\n")
TABLE_KEYS = "kind, train, dev, split, test, columns, separator, quoting, escapechar"


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("dev: b.csv", "dve: b.csv", 9, f"unknown key '{{}}tasks.1.source.dve'; did you mean '{{}}tasks.1.source.dev'? ({TABLE_KEYS})"),
        ("dev: b.csv", "dev: 3", 9, "{}tasks.1.source.dev has 3; must be a text"),
        ("kind: classification", "kind: clasification", 5, "{}tasks.1.kind has 'clasification'; did you mean 'classification'? (classification, regression, pair_classification, pair_regression)"),
        ("num_classes: 3", "num_classes: three", 6, "{}tasks.1.num_classes has 'three'; must be a whole number"),
        ("num_classes: 3", "num_classes: 3\n    weight: 0", 7, "{}tasks.1.weight has 0; must be greater than 0"),
        ("num_classes: 3", "num_classes: 3\n    metrics: [f1_marco]", 7, "{}tasks.1.metrics.0 has 'f1_marco', no metric of a classification; did you mean 'f1_macro'? (accuracy, f1_macro, mcc, auroc, f1.CLASS)"),
        ("num_classes: 3", "num_classes: 3\n    classes: [a, b]", 6, "{}tasks.1.num_classes has 3, but classes names 2"),
        ("num_classes: 3", "num_classes: 3\n    metrics:\n    - accuracy\n    - accuracy", 9, "{}tasks.1.metrics.1 has 'accuracy' twice"),
        ("num_classes: 3", "num_classes: 3\n    template: 'query:'", 7, "{}tasks.1.template has 'query:'; must hold {sentence} once, as 'query: {sentence}'"),
        ("num_classes: 3", "num_classes: 3\n    weight: .inf", 7, "{}tasks.1.weight has inf; must be a finite number"),
        ("num_classes: 3", "classes: [a, true]", 6, "{}tasks.1.classes has true; a class's name must be a text (in quotes) or a whole number"),
        ("name: topic", "name: Support Topic", 4, "{}tasks.1.name has 'Support Topic'; must begin with a small letter and hold only small letters, digits and _, as support_topic"),
        ("name: topic", "name: 2nd", 4, "{}tasks.1.name has '2nd'; must begin with a small letter and hold only small letters, digits and _, as task_2nd"),
        ("name: topic", "name: epoch", 4, "{}tasks.1 cannot be named epoch: a report or a prediction file has that name already; choose another"),
        ("name: same", "name: sst", 11, "{}tasks.2 has the name 'sst', as tasks.0 has; names must be different"),
        ("  - sst\n", "  - sts2\n", 3, "{}tasks.0: unknown task 'sts2' (known by name: sst, quora, sts; others need a mapping)"),
        ("  - sst\n", "  - 7\n", 3, "{}tasks.0 has 7; must be a known name (sst, quora, sts) or a mapping with name, kind and source"),
        ("{sentence1: text}", "{sentence1: text, lable: x}", 10, "unknown key '{}tasks.1.source.columns.lable'; did you mean '{}tasks.1.source.columns.label'? (sentence1, sentence2, label, id)"),
        ("{sentence1: text}", "text", 10, "{}tasks.1.source.columns has 'text'; must be a mapping"),
        ("      train: a.csv\n", "      kind: parquet\n      train: a.csv\n", 8, "{}tasks.1.source.kind has 'parquet' (table, hub)"),
        ("      dev: b.csv\n", "      dev: b.csv\n      separator: ';;'\n", 10, r"{}tasks.1.source.separator has ';;'; must be one character, or \t for a tab (not a quote or a line break)"),
        ("      dev: b.csv\n", "      split: {dev: 1.5}\n", 9, "{}tasks.1.source.split.dev has 1.5; must be less than 1"),
        ("      train: a.csv\n", "", 7, "{}tasks.1.source has no train"),
        ("dataset: x/y", "dataset: x/y, dev: a", 11, "unknown key '{}tasks.2.source.dev' (kind, dataset, subset, train_split, dev_split, split, test_split, columns)"),
        ("encoder: tiny\n", "encoder: tiny\nhidden_layers:\n  sst: 1\n  topic: many\n  same: 1\n", 4, "{}hidden_layers.topic has 'many'; must be a whole number"),
        ("encoder: tiny\n", "encoder: tiny\nadapter.target_modules:\n- query\n- 3\n", 4, "{}adapter.target_modules.1 has 3; must be a text"),
        ("encoder: tiny\n", "encoder: tiny\nadapter:\n  kind: lora\n  rank: 0\n", 4, "{}adapter.rank has 0; must be greater than or equal to 1"),
        ("encoder: tiny\n", "encoder: tiny\ndata.source: course\n", 2, "{}data.source 'course' needs directory; give --data DIR, the folder of the course's files"),
    ],
)  # fmt: skip
def test_a_mistake_stands_at_its_own_line(tmp_path, monkeypatch, old, new, line, expected):
    monkeypatch.chdir(tmp_path)
    assert CONFIG.count(old) == 1
    text = CONFIG.replace(old, new)
    Path("config.yaml").write_text(text)
    with pytest.raises(ConfigError) as of_config:
        load_config(Path("config.yaml"))
    assert of_config.value.problems == (f"config.yaml:{line}: {expected.replace('{}', '')}",)
    Path("space.yaml").write_text(space_text(OBJECTIVE, text))
    with pytest.raises(ConfigError) as of_space:
        load_search_space(Path("space.yaml"))
    assert of_space.value.problems == (f"space.yaml:{line + BELOW}: {expected.replace('{}', 'fixed.')}",)


def test_the_configuration_that_all_others_spoil_is_right(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert [task.name for task in load_config(tmp_path / "config.yaml").tasks] == ["sst", "topic", "same"]


REST = """\
experiments:
  first: {epochs: 1}
  second:
    adapter:
      kind: lora
      rank: many
search:
  learning_rate: {loguniform: [1e-5, 1e-3]}
  hidden_layers:
    choice:
      - 1
      - {sst: 1, quora: two, sts: 0}
  batch_size:
    int: [8, 32]
    step: 0
points_to_evaluate:
  - {learning_rate: 1e-4}
  - learning_rate: 1e-4
    batch_size: lots
objectives:
  dev_score:
    direction: maximize
    reference: half
warm_start_from:
  - 3
"""


def test_items_of_every_other_list_and_mapping_of_a_search_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("F").write_text("name: Own Sweep\ntrials: 4\n" + REST)
    with pytest.raises(ConfigError) as caught:
        load_search_space(Path("F"))
    assert caught.value.problems == (
        "F:1: name has 'Own Sweep'; must begin with a letter or a digit and hold only letters, digits, '_', '.' and "
        "'-', at most 80, as Own-Sweep",
        "F:8: experiments.second.adapter.rank has 'many'; must be a whole number",
        "F:14: search.hidden_layers.quora has 'two'; must be a whole number",
        "F:16: search.batch_size.int has step 0; must be a whole number of at least 1",
        "F:25: objectives.dev_score.reference has 'half'; must be a number",
        "F:27: warm_start_from.0 has 3; must be a text, the folder of an earlier sweep",
    )
    Path("F").write_text("name: own\ntrials: 4\n" + REST.replace("step: 0", "step: 8"))
    with pytest.raises(ConfigError) as caught:
        load_search_space(Path("F"))
    assert "F:21: points_to_evaluate.1.batch_size has 'lots'; must be a whole number" in caught.value.problems


@pytest.mark.parametrize("key", ["tasks", "adapter", "objectives", "experiments", "search.dropout.choice", "resources"])
def test_no_message_shows_a_regular_expression_or_pydantic_s_words(tmp_path, key):
    values = ["'Not A Name'", "3.5", "[[1]]", "{a: {b: 1}}", "null", "[{name: '!'}]", "''", "[{kind: x}, 3]", "-.inf"]
    for value in values:
        (tmp_path / "F").write_text(f"name: '{value[:3].replace(chr(39), '')}'\nseed: {value}\n")
        with pytest.raises(ConfigError) as caught:
            load_search_space(tmp_path / "F", overrides=[f"{key}={value}", f"encoder={value}"])
        for problem in caught.value.problems:
            assert not [
                word for word in ("^[", "]*$", "Input should", "Field required", "permitted") if word in problem
            ]


def test_a_space_given_to_train_and_a_trial_given_to_a_sweep(tmp_path):
    space, config = tmp_path / "space.yaml", tmp_path / "config.yaml"
    space.write_text("name: a\n" + REST)
    config.write_text(CONFIG)
    with pytest.raises(ConfigError) as caught:
        load_config(space)
    command = f"`python -m mtbert_ray.sweep {space}`"
    assert str(caught.value) == f"{space}: is a search space, with objectives and search; run it with {command}"
    with pytest.raises(ConfigError) as caught:
        load_search_space(config)
    command = f"`python -m mtbert_ray.train --config {config}`"
    assert str(caught.value) == (
        f"{config}: is the configuration of one trial and no search space; run it with {command}"
    )
