"""Every mistake in named experiments is named with its place, all of them at once, and none ends in a traceback."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_space import NO_SEARCH, PAPER_LIKE, load
from mistake_cases import EXPERIMENT_MISTAKES, fields

from mtbert_ray.errors import ConfigError, Mistake


def mistakes(text: str, folder: Path, *overrides: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder, *overrides)
    return caught.value.problems


def test_mistakes_inside_experiments_come_all_at_once_each_with_its_line(tmp_path: Path):
    text = """\
name: wrong
objectives: {dev_score: {direction: maximize, reference: 0}}
fixed: {encoder: tiny, experiment: lorra}
experiments:
  a b: {}
  lora:
    adapter: {knd: lora}
    adapter.rank: 0
    resources.num_workers: 2
    tasks: [sst]
    experiment: other
  full:
    encodr: tiny
    precision: bf61
    smart: on
    epochs: 3
  odd: 3
search:
  epochs: {grid: [1, 2]}
algorithm: grid
paper_table: 12
"""
    assert fields(mistakes(text, tmp_path)) == [
        (3, "fixed.experiment", "not_allowed"),
        (5, "experiments.a b", "invalid"),
        (7, "experiments.lora.adapter.knd", "unknown_key"),
        (8, "experiments.lora.adapter.rank", "out_of_bounds"),
        (9, "experiments.lora.resources.num_workers", "misplaced"),
        (10, "experiments.lora.tasks", "misplaced"),
        (11, "experiments.lora.experiment", "invalid"),
        (13, "experiments.full.encodr", "unknown_key"),
        (14, "experiments.full.precision", "not_allowed"),
        (15, "experiments.full.smart", "wrong_type"),
        (17, "experiments.odd", "wrong_type"),
        (19, "search.epochs", "conflict"),
        (21, "paper_table", "out_of_bounds"),
    ]


@pytest.mark.parametrize(("old", "new", "expected"), EXPERIMENT_MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, expected: tuple):
    assert PAPER_LIKE.count(old) == 1
    assert fields(mistakes(PAPER_LIKE.replace(old, new), tmp_path)) == [expected]


@pytest.mark.parametrize("wrong", ["[]", "{}", "3", "null"])
def test_experiments_that_are_no_mapping(tmp_path: Path, wrong: str):
    text = PAPER_LIKE.split("experiments:")[0] + f"experiments: {wrong}\ntrials: 1\n"
    assert fields(mistakes(text, tmp_path)) == [(6, "experiments", "wrong_type")]


def test_an_experiment_without_experiments(tmp_path: Path):
    text = PAPER_LIKE.split("experiments:")[0] + "search: {experiment: {choice: [a]}}\nalgorithm: grid\n"
    assert fields(mistakes(text, tmp_path)) == [(6, "search.experiment", "not_allowed")]
    problem = mistakes(PAPER_LIKE, tmp_path, "experiment=lorra")[0]
    assert (problem.place, problem.key, problem.code) == ("--set experiment=lorra", "fixed.experiment", "not_allowed")
    assert "did you mean 'lora'?" in problem


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_spoilt_file_never_ends_in_a_traceback(tmp_path: Path):
    rng = random.Random(0)
    pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "- ",
        "null",
        "-1",
        "&a ",
        "*a",
        "<<: ",
        "\n",
        "~",
        "{1: 2}",
        "experiment: ",
    ]
    pieces += [
        "experiments:",
        "search:",
        "fixed:",
        "lora: ",
        "smart: ",
        "when: {experiment: 3}",
        "2024-01-01",
        "adapter.",
    ]
    options = [(), ("epochs=1",), ("experiments.lora=3",), ("experiments.lora.adapter=x",), ("experiment=lora",)]
    for _ in range(300):
        text = PAPER_LIKE
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text))
            text = text[:start] + rng.choice(pieces) + text[start + rng.choice([0, 0, 1, 3, 8]) :]
        with suppress(ConfigError):
            load(text, tmp_path, *rng.choice(options))


class TestCombinations:
    def test_an_experiment_that_no_trial_allows_is_named(self, tmp_path: Path):
        text = PAPER_LIKE.replace("  plain:\n", "  plain: {finetune: heads_only, adapter.kind: dora}\n").replace(
            "epochs: 2}", "hidden_layers: {sst: 1}}"
        )
        found = fields(mistakes(text, tmp_path))
        assert found == [(7, "experiments.plain", "combination"), (8, "experiments.smart-k1.5", "combination")]

    def test_the_same_mistake_in_every_experiment_is_not_blamed_on_what_is_fixed(self, tmp_path: Path):
        text = (
            NO_SEARCH.split("  plain:")[0] + "  a: {data.source: course}\n  b: {data.source: course}\nalgorithm: grid"
        )
        found = fields(mistakes(text, tmp_path))
        assert found == [(7, "experiments.a", "combination"), (8, "experiments.b", "combination")]
        fixed = NO_SEARCH.replace("epochs: 4", "data.source: course")
        assert fields(mistakes(fixed, tmp_path)) == [(5, "fixed.data.source", "invalid")]

    def test_an_experiment_that_clashes_with_a_searched_value(self, tmp_path: Path):
        text = PAPER_LIKE.replace("  seed: {grid: [0, 1]}", "  finetune: {grid: [full, heads_only]}")
        (found,) = mistakes(text, tmp_path)
        assert (found.line, found.key) == (13, "search.finetune")
        assert "add `when: {experiment: ['plain', 'smart-k1.5']}`" in found
        mended = text.replace("[full, heads_only]", "[full, heads_only], when: {experiment: ['plain', 'smart-k1.5']}")
        assert load(mended, tmp_path).num_trials == 2 + 2 + 2

    def test_an_experiment_that_clashes_with_every_searched_value(self, tmp_path: Path):
        text = PAPER_LIKE.replace("  seed: {grid: [0, 1]}", "  finetune: {grid: [heads_only]}")
        assert fields(mistakes(text, tmp_path)) == [(9, "experiments.lora", "combination")]
