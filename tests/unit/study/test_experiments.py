"""Named experiments: what a trial of one has, and how options go through all of them."""

from pathlib import Path

import numpy as np
import pytest
from experiment_space import NO_SEARCH, PAPER_LIKE, load

from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.space.load import SearchSpace
from mtbert_ray.study.space.parameters import RandomSuggest

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
    searcher = SEARCHERS[algorithm](space)
    suggested = [searcher.ask()[1] for _ in range(8)]
    assert searcher.ask() is None
    assert {space.trial_config(values).experiment for values in suggested} == {"plain", "smart-k1.5", "lora"}
    for values in suggested:
        assert next(iter(values)) == "experiment"
        assert ("adapter.rank" in values) is (values["experiment"] == "lora")


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


def test_the_drawn_experiments_are_the_same_for_the_same_seed(tmp_path: Path):
    space = load(PAPER_LIKE, tmp_path)
    first, second = ([space.sample(RandomSuggest(np.random.default_rng(3))) for _ in range(5)] for _ in range(2))
    assert first == second


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
