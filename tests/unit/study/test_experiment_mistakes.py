"""Every mistake in named experiments is told with its place, all of them at once, and none ends in a traceback."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_space import NO_SEARCH, PAPER_LIKE, load

from mtbert_ray.errors import ConfigError


def mistakes(text: str, folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder, *overrides)
    return [problem.replace(str(folder / "space.yaml"), "F") for problem in caught.value.problems]


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
    found = mistakes(text, tmp_path)
    assert [line.split(" (experiment,")[0] for line in found] == [
        "F:3: fixed.experiment has 'lorra'; did you mean 'lora'? (a b, lora, full, odd)",
        "F:5: experiments has the name 'a b'; must begin with a letter or a digit and hold only letters, digits, '_', "
        "'.' and '-', at most 80, as a-b",
        "F:7: experiments.lora: unknown key 'adapter.knd'; did you mean 'adapter.kind'? (kind, library, rank, alpha, "
        "dropout, target_modules, rslora, initialization, learning_rate_ratio)",
        "F:8: experiments.lora.adapter.rank has 0; must be greater than or equal to 1",
        "F:9: experiments.lora.resources.num_workers is the same for a whole sweep; set it under the top-level key "
        "'resources'",
        "F:10: experiments.lora.tasks is the same for a whole sweep; set it under fixed",
        "F:11: experiments.lora.experiment has no use: the experiment is called 'lora'",
        "F:13: experiments.full: unknown key 'encodr'; did you mean 'encoder'?",
        "F:14: experiments.full.precision has 'bf61'; did you mean 'bf16'? (auto, fp32, bf16)",
        "F:15: experiments.full.smart has 'on'; must be a mapping",
        "F:17: experiments.odd has 3; must be a mapping of a trial's keys",
        "F:19: 'epochs' is both searched and set by experiment 'full' (F:16); keep one of the two",
        "F:21: paper_table has 12; must be less than or equal to 9",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "experiments:\n  plain:",
            "experiments:\n  plain:\n    epochs: 2\n  plain:",
            "F:9: duplicate key 'experiments.plain'; it stands on line 7 already",
        ),
        (
            "epochs: 2}",
            "smart.steps: 2}",
            "F:8: duplicate key 'experiments.smart-k1.5.smart.steps', once dotted and once nested",
        ),
        (
            "  seed: {grid: [0, 1]}",
            "  experiment: {grid: [lora, smart-k1]}",
            "F:13: search.experiment has 'smart-k1'; did you mean 'smart-k1.5'? (plain, smart-k1.5, lora)",
        ),
        (
            "  seed: {grid: [0, 1]}",
            "  experiment: {grid: [lora], when: {dropout: 0.2}}",
            "F:13: search.experiment is drawn first, so it takes no condition",
        ),
        (
            "{adapter.kind: lora}",
            "{adapter.kind: dora}",
            "F:14: search.adapter.rank.when.adapter.kind never holds: adapter.kind is fixed at 'lora'",
        ),
        (
            "{adapter.kind: lora}",
            "{experiment: lroa}",
            "F:14: search.adapter.rank.when.experiment has 'lroa', which experiment never takes; did you mean 'lora'? "
            "(plain, smart-k1.5, lora)",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, expected: str):
    assert PAPER_LIKE.count(old) == 1
    assert mistakes(PAPER_LIKE.replace(old, new), tmp_path) == [expected]


@pytest.mark.parametrize("wrong", ["[]", "{}", "3", "null"])
def test_experiments_that_are_no_mapping(tmp_path: Path, wrong: str):
    text = PAPER_LIKE.split("experiments:")[0] + f"experiments: {wrong}\ntrials: 1\n"
    assert mistakes(text, tmp_path) == [f"F:6: experiments has {wrong}; must be a mapping of names to a trial's keys"]


def test_an_experiment_without_experiments(tmp_path: Path):
    text = PAPER_LIKE.split("experiments:")[0] + "search: {experiment: {choice: [a]}}\nalgorithm: grid\n"
    assert mistakes(text, tmp_path) == [
        "F:6: search.experiment has 'a' (there is no top-level key 'experiments')",
    ]
    assert mistakes(PAPER_LIKE, tmp_path, "experiment=lorra")[0] == (
        "--set experiment=lorra: fixed.experiment has 'lorra'; did you mean 'lora'? (plain, smart-k1.5, lora)"
    )


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
        assert mistakes(text, tmp_path) == [
            "F:7: experiments.plain: finetune heads_only freezes the encoder, so adapter.kind dora has no use",
            "F:8: experiments.smart-k1.5: hidden_layers names ['sst'], the tasks are ['quora', 'sst', 'sts']",
        ]

    def test_the_same_mistake_in_every_experiment_is_not_blamed_on_what_is_fixed(self, tmp_path: Path):
        text = (
            NO_SEARCH.split("  plain:")[0] + "  a: {data.source: course}\n  b: {data.source: course}\nalgorithm: grid"
        )
        needs = "data.source 'course' needs directory; give --data DIR, the folder of the course's files"
        assert mistakes(text, tmp_path) == [f"F:7: experiments.a: {needs}", f"F:8: experiments.b: {needs}"]
        fixed = NO_SEARCH.replace("epochs: 4", "data.source: course")
        assert mistakes(fixed, tmp_path) == [f"F:5: fixed.{needs}"]

    def test_an_experiment_that_clashes_with_a_searched_value(self, tmp_path: Path):
        text = PAPER_LIKE.replace("  seed: {grid: [0, 1]}", "  finetune: {grid: [full, heads_only]}")
        (found,) = mistakes(text, tmp_path)
        assert found == (
            "F:13: search.finetune: finetune heads_only freezes the encoder, so adapter.kind lora has no use (drawn "
            "together: experiment 'lora', finetune 'heads_only'); add `when: {experiment: ['plain', 'smart-k1.5']}` "
            "to search.finetune"
        )
        mended = text.replace("[full, heads_only]", "[full, heads_only], when: {experiment: ['plain', 'smart-k1.5']}")
        assert load(mended, tmp_path).num_trials == 2 + 2 + 2

    def test_an_experiment_that_clashes_with_every_searched_value(self, tmp_path: Path):
        text = PAPER_LIKE.replace("  seed: {grid: [0, 1]}", "  finetune: {grid: [heads_only]}")
        assert mistakes(text, tmp_path) == [
            "F:9: experiments.lora: finetune heads_only freezes the encoder, so adapter.kind lora has no use, whatever "
            "is searched"
        ]
