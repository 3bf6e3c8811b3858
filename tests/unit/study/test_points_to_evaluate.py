"""`points_to_evaluate`: settings to try first, as written, as drawn, and every mistake that can be made in it.

Over 300 lines: the mistakes are a table, and drawing and refusing share the spaces above it.
"""

import warnings
from pathlib import Path

import pytest

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.search.points_to_evaluate import points_to_evaluate
from mtbert_ray.study.space.load import SearchSpace, load_search_space
from mtbert_ray.study.space.model import config_key

SPACE = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.2}
fixed:
  encoder: tiny
  epochs: 3
search:
  adapter.kind: {choice: [none, lora, dora]}
  adapter.rank: {int: [2, 9], step: 2, when: {adapter.kind: [lora, dora]}}
  adapter.alpha: {choice: [8, 16], when: {adapter.rank: 8}}
  finetune: {choice: [full, heads_only], when: {adapter.kind: none}}
  learning_rate: {loguniform: [1e-5, 1e-3]}
  hidden_layers: {choice: [1, {sst: 1, quora: 2, sts: 2}]}
trials: 4
"""
SEARCHED = "adapter.kind, adapter.rank, adapter.alpha, finetune, learning_rate, hidden_layers"
GRID = SPACE.replace("{loguniform: [1e-5, 1e-3]}", "{grid: [1e-5, 1e-4]}")
WITH_EXPERIMENTS = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.2}
fixed: {encoder: tiny}
experiments:
  full: {adapter.kind: none}
  lora: {adapter.kind: lora}
  dora: {adapter.kind: dora}
search:
  adapter.rank: {choice: [2, 8], when: {adapter.kind: [lora, dora]}}
  dropout: {uniform: [0, 0.5]}
trials: 9
"""


def load(text: str, folder: Path, *entries: str, **options) -> SearchSpace:
    """Load a space with these lines of `points_to_evaluate`."""
    path = folder / "space.yaml"
    path.write_text(text + "".join(["points_to_evaluate:\n", *(f"  - {entry}\n" for entry in entries)]))
    return load_search_space(path, **options)


def mistakes(text: str, folder: Path, *entries: str, **options) -> list[str]:
    """Return the mistakes, without the file's name and the lines above `points_to_evaluate`."""
    with pytest.raises(ConfigError) as caught:
        load(text, folder, *entries, **options)
    above = text.count("\n") + 1
    place = str(folder / "space.yaml")
    problems = []
    for problem in caught.value.problems:
        if problem.startswith(place):
            line, _, words = problem.removeprefix(f"{place}:").partition(": ")
            problem = f"{int(line) - above}: {words}"
        problems.append(problem.replace(place, "F"))
    return problems


def test_values_that_are_given_stand_and_the_others_are_drawn(tmp_path: Path):
    entries = ("{adapter: {kind: lora, rank: 8}}", "{learning_rate: 1e-4, adapter.kind: none}", "hidden_layers: 1")
    space = load(SPACE, tmp_path, *entries)
    first, second, third = points_to_evaluate(space)
    assert (first["adapter.kind"], first["adapter.rank"]) == ("lora", 8)
    assert first["adapter.alpha"] in (8, 16)
    assert "finetune" not in first
    assert (second["learning_rate"], second["adapter.kind"]) == (1e-4, "none")
    assert second["finetune"] in ("full", "heads_only")
    assert third["hidden_layers"] == 1
    for values in (first, second, third):
        assert all(space.search[key].takes(value) for key, value in values.items())
        space.trial_config(values)


def test_a_whole_number_stands_for_the_fraction_it_is(tmp_path: Path):
    space = load(SPACE.replace("{loguniform: [1e-5, 1e-3]}", "{uniform: [0.5, 2]}"), tmp_path, "learning_rate: 1")
    (values,) = points_to_evaluate(space)
    assert isinstance(values["learning_rate"], float)


def test_draws_depend_on_the_seed_alone(tmp_path: Path):
    space = load(SPACE, tmp_path, *(["{adapter.kind: lora}"] * 3))
    assert points_to_evaluate(space) == points_to_evaluate(space)
    assert points_to_evaluate(space) != points_to_evaluate(space.model_copy(update={"seed": 1}))
    assert len({config_key(values) for values in points_to_evaluate(space)}) == 3


@pytest.mark.parametrize("seed", range(8))
def test_what_a_given_key_depends_on_is_drawn_so_that_it_applies(tmp_path: Path, seed: int):
    # alpha needs rank 8, which needs an adapter.
    (values,) = points_to_evaluate(load(SPACE + f"seed: {seed}\n", tmp_path, "adapter.alpha: 16"))
    assert (values["adapter.alpha"], values["adapter.rank"]) == (16, 8)
    assert values["adapter.kind"] in ("lora", "dora")


@pytest.mark.parametrize("seed", range(8))
def test_an_experiment_is_drawn_so_that_a_given_key_applies(tmp_path: Path, seed: int):
    space = load(WITH_EXPERIMENTS + f"seed: {seed}\n", tmp_path, "adapter.rank: 2", "{experiment: full, dropout: 0.1}")
    first, second = points_to_evaluate(space)
    assert first["experiment"] in ("lora", "dora")
    assert first["adapter.rank"] == 2
    assert second == {"experiment": "full", "dropout": 0.1}


def test_entries_of_a_finite_space_are_different_as_long_as_they_can_be(tmp_path: Path):
    entries = ["{adapter.kind: none, hidden_layers: 1}"] * 5  # Two ways to train, two rates.
    points = points_to_evaluate(load(GRID.replace("trials: 4", "trials: 9"), tmp_path, *entries))
    assert len({config_key(values) for values in points}) == len(points) == 4


def test_a_grid_begins_with_what_is_on_it(tmp_path: Path):
    space = load(GRID.replace("trials: 4", "algorithm: grid"), tmp_path, "{adapter.rank: 4, learning_rate: 1e-5}")
    (values,) = points_to_evaluate(space)
    assert values in list(space.grid())


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["lora"], ["1: points_to_evaluate.0 has 'lora'; must be a mapping of searched keys, as {dropout: 0.1}"]),
        (["{}"], ["1: points_to_evaluate.0 is empty; give at least one searched key"]),
        (
            ["adapter.rnk: 8"],
            [
                "1: unknown key 'points_to_evaluate.0.adapter.rnk'; did you mean "
                f"'points_to_evaluate.0.adapter.rank'? ({SEARCHED})"
            ],
        ),
        (
            ["{adapter.kind: lora, epochs: 4}"],
            ["1: points_to_evaluate.0.epochs is not searched but fixed at 3 (F:6); take it out of one of the two"],
        ),
        (
            ["batch_size: 16"],
            [f"1: points_to_evaluate.0.batch_size is not searched ({SEARCHED}); search it, or set it under fixed"],
        ),
        (["adapter.rank: '8'"], ["1: points_to_evaluate.0.adapter.rank has '8'; must be a whole number"]),
        (["adapter.rank: true"], ["1: points_to_evaluate.0.adapter.rank has true; must be a whole number"]),
        (
            ["adapter.rank: 3"],
            ["1: points_to_evaluate.0.adapter.rank has 3, which is not searched (2 to 8 in steps of 2)"],
        ),
        (
            ["learning_rate: 0.1"],
            ["1: points_to_evaluate.0.learning_rate has 0.1, which is not searched (1e-05 to 0.001)"],
        ),
        (["learning_rate: .inf"], ["1: points_to_evaluate.0.learning_rate has inf; must be a finite number"]),
        (
            ["adapter.kind: lroa"],
            ["1: points_to_evaluate.0.adapter.kind has 'lroa'; did you mean 'lora'? (none, lora, dora, vera)"],
        ),
        (
            ["adapter.kind: vera"],
            ["1: points_to_evaluate.0.adapter.kind has 'vera', which is not searched ('none', 'lora', 'dora')"],
        ),
        (
            ["{adapter.kind: none, adapter.rank: 8}"],
            [
                "1: points_to_evaluate.0.adapter.rank applies only where adapter.kind is 'lora' or 'dora'; "
                "here it is 'none'",
            ],
        ),
        (
            ["{finetune: full, adapter.alpha: 8}"],
            ["1: points_to_evaluate.0: finetune cannot apply beside its other keys"],
        ),
        (
            ["{adapter: {kind: lora, rank: 2}, adapter.rank: 4}"],
            ["1: duplicate key 'points_to_evaluate.0.adapter.rank', once dotted and once nested"],
        ),
        (
            [
                "{adapter.kind: lora, adapter.rank: 2, learning_rate: 1e-4, hidden_layers: 1}",
                "adapter.kind: dora",
                "{hidden_layers: 1, learning_rate: 1e-4, adapter: {rank: 2, kind: lora}}",
            ],
            ["3: points_to_evaluate.2 is the same setting as points_to_evaluate.0 (F:16); keep one of the two"],
        ),
        (
            ["adapter.kind: lora"] * 5,
            ["0: points_to_evaluate has 5 settings, but there are 4 trials; leave some out"],
        ),
        (
            ["learning_rate: 1", "hidden_layers: 3", "adapter.kind: 5"],
            [
                "1: points_to_evaluate.0.learning_rate has 1, which is not searched (1e-05 to 0.001)",
                "2: points_to_evaluate.1.hidden_layers has 3, which is not searched (1, {sst: 1, quora: 2, sts: 2})",
                "3: points_to_evaluate.2.adapter.kind has 5; must be 'none', 'lora', 'dora' or 'vera'",
            ],
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, entries: list[str], expected: list[str]):
    assert mistakes(SPACE, tmp_path, *entries) == expected


def test_mistakes_come_with_those_of_the_rest_of_the_file(tmp_path: Path):
    text = SPACE.replace("epochs: 3", "epochs: 0").replace("{int: [2, 9], step: 2", "{int: [9, 2], step: 2")
    found = mistakes(text, tmp_path, "adapter.rank: 100", "learning_rate: 2")
    # The rank's own parameter is wrong, so nothing is said of values of it.
    assert [problem.partition(": ")[2].partition(" has")[0] for problem in found] == [
        "fixed.epochs",
        "search.adapter.rank.int",
        "points_to_evaluate.1.learning_rate",
    ]


def test_a_finite_space_may_have_fewer_settings(tmp_path: Path):
    text = SPACE[: SPACE.index("search:")] + "search:\n  adapter.rank: {choice: [2, 8]}\ntrials: 9\n"
    assert mistakes(text, tmp_path, *(["adapter.rank: 2", "adapter.rank: 8", "{adapter.rank: 2}"])) == [
        "0: points_to_evaluate has 3 settings, but there are only 2 settings; leave some out",
        "3: points_to_evaluate.2 is the same setting as points_to_evaluate.0 (F:11); keep one of the two",
    ]


@pytest.mark.parametrize("value", ["{dropout: 0.1}", "5", ""])
def test_it_must_be_a_list(tmp_path: Path, value: str):
    path = tmp_path / "space.yaml"
    path.write_text(f"{SPACE}points_to_evaluate: {value}\n")
    with pytest.raises(ConfigError, match=r":15: points_to_evaluate has .*; must be a list of settings"):
        load_search_space(path)


def test_settings_that_no_trial_can_have(tmp_path: Path):
    text = SPACE.replace("  learning_rate", "  batch_size: {choice: [1, 8]}\n  learning_rate")
    text += "resources: {num_workers: 4}\n"
    assert any(
        problem.startswith("1: points_to_evaluate.0: batch_size 1")
        for problem in mistakes(text, tmp_path, "batch_size: 1")
    )


class TestBesideExperiments:
    def test_what_an_experiment_sets_is_not_given_besides(self, tmp_path: Path):
        assert mistakes(WITH_EXPERIMENTS, tmp_path, "adapter.kind: lora", "{experiment: full, adapter.rank: 2}") == [
            "1: points_to_evaluate.0.adapter.kind is not searched but set by experiment 'full'; start with an "
            "experiment instead",
            "2: points_to_evaluate.1.adapter.rank applies only where adapter.kind is 'lora' or 'dora'; "
            "here it is 'none'",
        ]

    def test_an_unknown_experiment(self, tmp_path: Path):
        assert mistakes(WITH_EXPERIMENTS, tmp_path, "experiment: dorra") == [
            "1: points_to_evaluate.0.experiment has 'dorra', which is not searched; did you mean 'dora'? "
            "('full', 'lora', 'dora')"
        ]


class TestOptions:
    def test_a_key_that_an_option_fixes_leaves_the_entries(self, tmp_path: Path):
        entries = (
            "{adapter.kind: lora, hidden_layers: 1}",
            "adapter.kind: none",
            "{adapter.kind: dora, hidden_layers: 1}",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That rank and alpha are searched no more.
            space = load(SPACE, tmp_path, *entries, overrides=["adapter.kind=none"])
        assert space.points_to_evaluate == ({"hidden_layers": 1},)

    def test_a_key_that_can_no_longer_apply_is_left_out(self, tmp_path: Path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entries = ("{adapter.rank: 8, hidden_layers: 1}", "adapter.rank: 2")
            space = load(SPACE, tmp_path, *entries, overrides=["adapter.kind=none"])
        assert space.points_to_evaluate == ({"hidden_layers": 1},)

    def test_an_option_can_give_the_list(self, tmp_path: Path):
        space = load(SPACE, tmp_path, "hidden_layers: 1", overrides=["points_to_evaluate=[{adapter: {kind: dora}}]"])
        assert space.points_to_evaluate == ({"adapter.kind": "dora"},)

    def test_too_few_trials(self, tmp_path: Path):
        found = mistakes(SPACE, tmp_path, "hidden_layers: 1", "adapter.kind: none", num_trials=1)
        assert found == ["0: points_to_evaluate has 2 settings, but there are 1 trials; leave some out"]


class TestOtherKeysOfTheScheduler:
    def test_sections_are_read_with_their_places(self, tmp_path: Path):
        path = tmp_path / "space.yaml"
        path.write_text(SPACE + "halving: {grace_period: 2, order: epsilon_net}\nprobe: {steps: 10}\n")
        space = load_search_space(path)
        assert (space.halving.grace_period, space.halving.order, space.probe.steps) == (2, "epsilon_net", 10)
        assert "seed" not in space.halving.model_fields_set

    def test_mistakes_in_them_are_named(self, tmp_path: Path):
        path = tmp_path / "space.yaml"
        path.write_text(SPACE + "halving: {grace_period: 0, oder: rank}\nprobe: {steps: -1}\nscheduler: paretto\n")
        with pytest.raises(ConfigError) as caught:
            load_search_space(path)
        assert [problem.removeprefix(f"{path}:") for problem in caught.value.problems] == [
            "15: halving.grace_period has 0; must be greater than or equal to 1",
            "15: unknown key 'halving.oder'; did you mean 'halving.order'? "
            "(grace, eta, keep, order, spare_front, min_results, share_to_end, brackets, seed)",
            "16: probe.steps has -1; must be greater than or equal to 0",
            "17: scheduler has 'paretto'; did you mean 'pareto'? (fifo, pareto)",
        ]

    def test_a_rule_that_stops_nothing_is_warned_of(self, tmp_path: Path):
        path = tmp_path / "space.yaml"
        path.write_text(SPACE + "scheduler: fifo\nhalving: {grace_period: 2}\n")
        with pytest.warns(UserWarning, match=r":16: halving has no effect: scheduler fifo stops no trial"):
            load_search_space(path)
