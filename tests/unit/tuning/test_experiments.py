"""Named experiments: what a trial of one has, how options go through all of them, and every mistake with its place."""

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mtbert_ray.cluster.capacity import Capacity, Node
from mtbert_ray.errors import ConfigError
from mtbert_ray.tuning.describe import describe
from mtbert_ray.tuning.plan import make_plan
from mtbert_ray.tuning.searchers import SEARCHERS
from mtbert_ray.tuning.searchers.for_ray import SpaceSearcher
from mtbert_ray.tuning.space.load import SearchSpace, load_search_space
from mtbert_ray.tuning.space.random_suggest import RandomSuggest

PAPER_LIKE = """\
name: named
paper_table: 2
objectives:
  dev_score: {direction: maximise, reference: 0.2}
fixed: {encoder: tiny, epochs: 4, dropout: 0.2}
experiments:
  plain:
  smart-k1.5: {smart: {tasks: [sst], steps: 1}, epochs: 2}
  lora:
    adapter.kind: lora
    data.train_files: {quora: some.csv}
search:
  seed: {grid: [0, 1]}
  adapter.rank: {grid: [2, 4], when: {adapter.kind: lora}}
algorithm: grid
"""
NO_SEARCH = PAPER_LIKE.split("search:")[0] + "algorithm: grid\n"


def load(text: str, folder: Path, *overrides: str, **options) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_search_space(path, overrides=overrides, **options)


def mistakes(text: str, folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder, *overrides)
    return [problem.replace(str(folder / "space.yaml"), "F") for problem in caught.value.problems]


# What a trial has


def test_the_grid_runs_every_experiment_with_every_searched_combination(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path)
    assert list(space.grid()) == [
        {"experiment": "plain", "seed": 0},
        {"experiment": "plain", "seed": 1},
        {"experiment": "smart-k1.5", "seed": 0},
        {"experiment": "smart-k1.5", "seed": 1},
        {"experiment": "lora", "seed": 0, "adapter.rank": 2},
        {"experiment": "lora", "seed": 0, "adapter.rank": 4},
        {"experiment": "lora", "seed": 1, "adapter.rank": 2},
        {"experiment": "lora", "seed": 1, "adapter.rank": 4},
    ]
    assert space.num_trials == 8
    assert space.hyperparameters == ("experiment", "seed", "adapter.rank")


def test_a_trial_has_what_is_fixed_under_its_experiment_s_keys_under_the_searched_values(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path)
    plain, smart, lora = (
        space.trial_config({"experiment": name, "seed": 1, **more})
        for name, more in {"plain": {}, "smart-k1.5": {}, "lora": {"adapter.rank": 4}}.items()
    )
    assert [config.experiment for config in (plain, smart, lora)] == ["plain", "smart-k1.5", "lora"]
    assert [config.epochs for config in (plain, smart, lora)] == [4, 2, 4]
    assert {config.dropout for config in (plain, smart, lora)} == {0.2}
    assert (smart.smart.tasks, smart.smart.steps, plain.smart.tasks) == (("sst",), 1, ())
    assert (lora.adapter.kind, lora.adapter.rank, lora.seed) == ("lora", 4, 1)
    assert [Path(file).name for file in lora.data.train_files.values()] == ["some.csv"]
    assert plain.data.train_files == {}


@pytest.mark.parametrize("algorithm", SEARCHERS)
def test_every_algorithm_draws_experiments_and_keeps_the_conditions_on_their_keys(tmp_path: Path, algorithm: str):
    text = PAPER_LIKE.replace("algorithm: grid", f"algorithm: {algorithm}\ntrials: 50")
    space = load(text, tmp_path)
    searcher = SpaceSearcher(space, SEARCHERS[algorithm](space), space.objectives)
    suggested = [searcher.suggest(str(number)) for number in range(8)]
    assert searcher.suggest("last") == "FINISHED"
    assert {trial["trial"]["experiment"] for trial in suggested} == {"plain", "smart-k1.5", "lora"}
    for trial in suggested:
        assert next(iter(trial["values"])) == "experiment"
        assert ("adapter.rank" in trial["values"]) is (trial["values"]["experiment"] == "lora")


def test_a_condition_on_an_experiment(tmp_path: Path):
    text = PAPER_LIKE.replace("when: {adapter.kind: lora}", "when: {experiment: [lora, plain]}")
    with_rank = {values["experiment"] for values in load(text, tmp_path).grid() if "adapter.rank" in values}
    assert with_rank == {"lora", "plain"}


def test_without_a_search_each_experiment_runs_once(tmp_path: Path):
    assert list(load(NO_SEARCH, tmp_path).grid()) == [{"experiment": name} for name in ("plain", "smart-k1.5", "lora")]
    assert load(NO_SEARCH + "search: {}\n", tmp_path).num_trials == 3


def test_a_choice_of_experiments_in_any_place_is_drawn_first(tmp_path: Path):
    text = PAPER_LIKE.replace("algorithm:", "  experiment: {choice: [lora, plain]}\nalgorithm:")
    space = load(text, tmp_path)
    assert space.experiment_names == ("lora", "plain")
    assert next(space.grid()) == {"experiment": "lora", "seed": 0, "adapter.rank": 2}


def test_every_experiment_is_an_example_of_a_space_too_large_to_list(tmp_path: Path):
    names = [f"e{number}" for number in range(300)]
    experiments = "".join(f"  {name}: {{epochs: {number + 1}}}\n" for number, name in enumerate(names))
    text = PAPER_LIKE.split("experiments:")[0].replace("epochs: 4, ", "") + "experiments:\n" + experiments
    space = load(text + "search: {learning_rate: {loguniform: [1e-5, 1e-3]}}\ntrials: 5\n", tmp_path)
    assert {values["experiment"] for values in space.examples()} == set(names)
    configs = space.one_config_each()
    assert [configs[name].epochs for name in names] == list(range(1, 301))


def test_the_journal_can_hold_a_space_with_experiments_and_give_it_back(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path)
    again = SearchSpace.model_validate_json(space.model_dump_json())
    assert again == space
    assert again.paper_table == 2
    assert space.model_dump(mode="json")["experiments"]["smart-k1.5"] == {
        "smart.tasks": ["sst"],
        "smart.steps": 1,
        "epochs": 2,
    }


# Options


def test_an_option_for_a_trial_s_key_holds_for_every_experiment(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path, "epochs=1", "smart={steps: 3}", "data.max_dev_rows=16", "data.train_files={}")
    configs = [space.trial_config(values) for values in space.grid()]
    assert len(configs) == 8
    assert {config.epochs for config in configs} == {1}
    assert {config.smart.steps for config in configs} == {3}
    assert {config.smart.tasks for config in configs} == {(), ("sst",)}, "only the keys that are named change"
    assert all(config.data.train_files == {} and config.data.max_dev_rows == 16 for config in configs)


def test_the_data_folder_holds_for_every_experiment(tmp_path: Path):
    text = NO_SEARCH.replace("  plain:\n", "  plain: {data: {source: course, directory: elsewhere}}\n")
    configs = load(text, tmp_path, data_directory="/course").one_config_each().values()
    assert {(config.data.source, config.data.directory) for config in configs} == {("course", "/course")}


def test_searching_a_key_takes_it_out_of_every_experiment(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path, "search.epochs={grid: [7, 8]}")
    assert {space.trial_config(values).epochs for values in space.grid()} == {7, 8}


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_an_option_picks_one_experiment(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path, "experiment=smart-k1.5")
    assert list(space.grid()) == [{"seed": 0}, {"seed": 1}]
    assert space.experiment_names == ("smart-k1.5",)
    config = space.any_config()
    assert (config.experiment, config.smart.tasks, config.epochs) == ("smart-k1.5", ("sst",), 2)
    assert list(load(NO_SEARCH, tmp_path, "experiment=plain").grid()) == [{}]


def test_parameters_of_other_experiments_are_left_out_with_a_warning(tmp_path: Path):
    with pytest.warns(UserWarning, match=r"--set experiment=plain: search\.adapter\.rank is left out"):
        load(PAPER_LIKE.replace("{adapter.kind: lora}", "{experiment: lora}"), tmp_path, "experiment=plain")
    with pytest.warns(UserWarning, match=r"--set experiment=plain: search\.adapter\.rank is left out"):
        load(PAPER_LIKE, tmp_path, "experiment=plain")


def test_an_option_picks_some_experiments(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path, "search.experiment={choice: [lora, plain]}")
    assert space.num_trials == 2 + 4


def test_an_option_changes_a_key_of_one_experiment_though_names_hold_dots(tmp_path: Path):
    space = load(
        PAPER_LIKE,
        tmp_path,
        "experiments.smart-k1.5.smart.steps=9",
        "experiments.plain={smart.steps: 2, adapter: {alpha: 4}}",
        "experiments.new.epochs=3",
    )
    assert space.experiment_names == ("plain", "smart-k1.5", "lora", "new")
    assert space.experiments["smart-k1.5"] == {"smart.tasks": ["sst"], "smart.steps": 9, "epochs": 2}
    assert space.experiments["plain"] == {"smart.steps": 2, "adapter.alpha": 4.0}
    assert space.experiments["new"] == {"epochs": 3}


# Mistakes


def test_mistakes_inside_experiments_come_all_at_once_each_with_its_line(tmp_path: Path):
    text = """\
name: wrong
objectives: {dev_score: {direction: maximise, reference: 0}}
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
        "F:5: experiments has the name 'a b'; must be letters, digits, '_', '.' and '-', at most 80",
        "F:7: experiments.lora: unknown key 'adapter.knd'; did you mean 'adapter.kind'? (kind, library, rank, alpha, "
        "dropout, target_modules, rslora, initialisation, learning_rate_ratio)",
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
        needs = "data: source 'course' needs directory: the folder of the course's files (or --data DIR)"
        assert mistakes(text, tmp_path) == [f"F:7: experiments.a: {needs}", f"F:8: experiments.b: {needs}"]
        fixed = NO_SEARCH.replace("epochs: 4", "data.source: course")
        assert mistakes(fixed, tmp_path) == [f"F:5: no setting is valid: {needs}"]

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


# What is said


def described(space: SearchSpace, rows: dict | None = None) -> list[str]:
    plan = make_plan(space, Capacity(nodes=(Node(cpus=4),)), own_cluster=True)
    return describe(plan, rows or {None: {"train": {}, "dev": {}}})


def test_a_dry_run_has_one_line_an_experiment(tmp_path: Path):
    lines = described(load(PAPER_LIKE, tmp_path))
    assert [line for line in lines if line.startswith(("experiment:", "search:"))] == [
        "experiment: plain (all as fixed)",
        "experiment: smart-k1.5 (smart.tasks ['sst'], smart.steps 1, epochs 2)",
        "experiment: lora (adapter.kind lora, data.train_files {quora: 'some.csv'})",
        "search: seed = one of 0, 1",
        "search: adapter.rank = one of 2, 4, when adapter.kind is 'lora'",
    ]
    assert any(line.startswith("trials: 8, ") for line in lines)
    one = described(load(NO_SEARCH, tmp_path, "experiment=plain"))
    assert [line for line in one if line.startswith("experiment:")] == ["experiment: plain (all as fixed)"]


def test_numbers_of_rows_are_told_by_experiment_where_they_differ(tmp_path: Path):
    def counts(quora: int) -> dict:
        return {"train": {"sst": 9, "quora": quora}, "dev": {"sst": 4, "quora": 5}}

    rows = {"plain": counts(100), "smart-k1.5": counts(100), "lora": counts(20)}
    lines = described(load(PAPER_LIKE, tmp_path), rows)
    assert [line for line in lines if line.startswith("rows:")] == [
        "rows: sst: 9 train, 4 dev",
        "rows: quora: 100 train, 5 dev (plain, smart-k1.5)",
        "rows: quora: 20 train, 5 dev (lora)",
    ]


def test_notes_name_the_experiments_that_they_hold_for(tmp_path: Path):
    def notes(*overrides: str) -> list[str]:
        space = load(PAPER_LIKE, tmp_path, *overrides)
        return [line.removeprefix("note: ") for line in described(space) if line.startswith("note: ")]

    assert notes() == ["The training rows of quora are those of some.csv (lora)."]
    assert notes("data.max_dev_rows=8")[0] == (
        "Dev scores come from at most 8 rows a task, the same for every trial."
    ), "what holds for all needs no names"
    same = notes("smart.steps=1", "smart.tasks=[sst]", "epochs=2", "data.train_files={}", "dropout=0")
    assert same == ["These experiments have the same setting: plain, smart-k1.5."]


def test_the_drawn_experiments_are_the_same_for_the_same_seed(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path)
    first, second = ([space.sample(RandomSuggest(np.random.default_rng(3))) for _ in range(5)] for _ in range(2))
    assert first == second
