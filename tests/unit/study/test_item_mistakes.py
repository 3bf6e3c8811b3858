"""A mistake inside a list or a mapping stands at the line of its own item, and quotes the wrong value alone.

The same in a search space and in the config of one trial.
"""

from pathlib import Path

import pytest
from mistake_cases import CONFIG, ITEM_MISTAKES, fields
from space_text import space_text

from mtbert_ray.config.file import load_config
from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space.load import load_search_space

OBJECTIVE = "dev_score: {direction: maximize, reference: 0.2}"
BELOW = space_text(OBJECTIVE, CONFIG).count("\n") - CONFIG.count("\n")


@pytest.mark.parametrize(("old", "new", "expected"), ITEM_MISTAKES)
def test_a_mistake_stands_at_its_own_line(tmp_path, monkeypatch, old, new, expected):
    monkeypatch.chdir(tmp_path)
    assert CONFIG.count(old) == 1
    text = CONFIG.replace(old, new)
    Path("config.yaml").write_text(text)
    with pytest.raises(ConfigError) as of_config:
        load_config(Path("config.yaml"))
    assert fields(of_config.value.problems) == [expected]
    Path("space.yaml").write_text(space_text(OBJECTIVE, text))
    with pytest.raises(ConfigError) as of_space:
        load_search_space(Path("space.yaml"))
    line, key, code = expected
    assert fields(of_space.value.problems) == [(line + BELOW, f"fixed.{key}", code)]
    # The same words, with the section in front of the key.
    words = [str(error.value.problems[0]).partition(": ")[2].replace("fixed.", "") for error in (of_config, of_space)]
    assert words[0] == words[1]


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
    assert fields(caught.value.problems) == [
        (1, "name", "invalid"),
        (8, "experiments.second.adapter.rank", "wrong_type"),
        (14, "search.hidden_layers.choice.1.quora", "wrong_type"),
        (16, "search.batch_size.int", "out_of_bounds"),
        (25, "objectives.dev_score.reference", "wrong_type"),
        (27, "warm_start_from.0", "wrong_type"),
    ]
    Path("F").write_text("name: own\ntrials: 4\n" + REST.replace("step: 0", "step: 8"))
    with pytest.raises(ConfigError) as caught:
        load_search_space(Path("F"))
    assert (21, "points_to_evaluate.1.batch_size", "wrong_type") in fields(caught.value.problems)


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
    assert f"`python -m mtbert_ray.sweep {space}`" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_search_space(config)
    assert f"`python -m mtbert_ray.train --config {config}`" in str(caught.value)
