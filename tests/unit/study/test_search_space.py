"""Search spaces as read: conditions, grids, options of the command line, and the files that come with the project."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space.load import SearchSpace, load_search_space
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, RandomSuggest

SHIPPED = Path(__file__).parents[3] / "search_spaces"

CONDITIONAL = """\
name: conditional
objectives:
  dev_score: {direction: maximize, reference: 0.2}
  train_seconds: {direction: minimize, reference: 100}
fixed: {encoder: tiny, adapter: {dropout: 0.1}}
search:
  adapter.alpha: {choice: [8, 16], when: {adapter.rank: 8}}
  adapter.kind: {choice: [none, lora, dora]}
  adapter.rank: {choice: [2, 8], when: {adapter.kind: [lora, dora]}}
  finetune: {choice: [full, heads_only], when: {adapter.kind: none}}
  hidden_layers: {choice: [1, {sst: 1, quora: 2, sts: 2}]}
trials: 10
"""


def load(text: str, folder: Path, **options) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_search_space(path, **options)


def draws(space: SearchSpace, count: int) -> list[dict]:
    suggest = RandomSuggest(np.random.default_rng(7))
    return [space.sample(suggest) for _ in range(count)]


@pytest.mark.parametrize(
    ("parameter", "allowed"),
    [
        (IntRange(low=2, high=9, step=3), {2, 5, 8}),
        (IntRange(low=1, high=4, log=True), {1, 2, 3, 4}),
        (Choice(values=(None, [1], {"a": 2})), None),
    ],
)
def test_every_value_is_drawn_and_no_other(parameter: IntRange | Choice, allowed: set | None):
    suggest = RandomSuggest(np.random.default_rng(0))
    drawn = [parameter.draw("x", suggest) for _ in range(200)]
    assert all(value in drawn for value in parameter.listed())
    assert all(parameter.takes(value) for value in drawn)
    assert allowed is None or set(drawn) == allowed


def test_a_logarithmic_range_gives_every_decade_its_share():
    parameter = FloatRange(kind="loguniform", low=1e-5, high=1e-2)
    suggest = RandomSuggest(np.random.default_rng(0))
    drawn = np.array([parameter.draw("x", suggest) for _ in range(3000)])
    shares, _ = np.histogram(np.log10(drawn), bins=[-5, -4, -3, -2])
    assert shares.sum() == 3000
    assert np.allclose(shares / 3000, 1 / 3, atol=0.03)


class TestConditions:
    def test_hold_in_every_draw_though_written_before_what_they_depend_on(self, tmp_path: Path):
        seen = set()
        for values in draws(load(CONDITIONAL, tmp_path), 300):
            has_adapter = values["adapter.kind"] != "none"
            assert ("adapter.rank" in values) is has_adapter
            assert ("finetune" in values) is not has_adapter
            assert ("adapter.alpha" in values) is (values.get("adapter.rank") == 8)
            seen.add((values["adapter.kind"], values.get("adapter.rank"), values.get("finetune")))
        assert len(seen) == 2 + 2 * 2  # All that is allowed is drawn.

    def test_every_setting_is_a_trial_config(self, tmp_path: Path):
        space = load(CONDITIONAL, tmp_path)
        for values in space.grid():
            config = space.trial_config(values)
            assert config.adapter.kind == values["adapter.kind"]
            assert config.adapter.dropout == 0.1
            assert config.hidden_layers == values["hidden_layers"]

    def test_the_grid_counted_by_hand(self, tmp_path: Path):
        settings = list(load(CONDITIONAL, tmp_path).grid())
        # No adapter: 2 finetune. Each adapter: rank 2, or rank 8 with 2 alphas. All times 2 hidden_layers.
        assert len(settings) == (2 + 2 * (1 + 2)) * 2
        assert len({repr(values) for values in settings}) == len(settings)


class TestNumTrials:
    def test_never_more_than_there_are_settings(self, tmp_path: Path):
        assert load(CONDITIONAL, tmp_path).num_trials == 10
        assert load(CONDITIONAL, tmp_path, num_trials=500).num_trials == 16

    def test_a_grid_defaults_to_all_of_it(self, tmp_path: Path):
        assert load(CONDITIONAL.replace("trials: 10", "algorithm: grid"), tmp_path).num_trials == 16
        assert load(CONDITIONAL.replace("trials: 10", "algorithm: grid\ntrials: 5"), tmp_path).num_trials == 5

    def test_none_under_a_time_budget_alone(self, tmp_path: Path):
        space = load(CONDITIONAL.replace("trials: 10", "time_budget_minutes: 1.5"), tmp_path)
        assert space.num_trials is None
        assert space.time_budget_seconds == 90


class TestSeed:
    def test_is_every_trials_unless_fixed_or_searched(self, tmp_path: Path):
        def seeds(text: str) -> set[int]:
            space = load(text, tmp_path)
            return {space.trial_config(values).seed for values in draws(space, 40)}

        assert seeds(CONDITIONAL + "seed: 3\n") == {3}
        assert seeds(CONDITIONAL.replace("encoder: tiny", "encoder: tiny, seed: 5") + "seed: 3\n") == {5}
        assert seeds(CONDITIONAL.replace("search:", "search:\n  seed: {choice: [1, 2]}") + "seed: 3\n") == {1, 2}


class TestOverrides:
    @pytest.mark.filterwarnings("ignore:.*is left out")
    def test_a_trial_key_is_fixed_and_leaves_the_search(self, tmp_path: Path):
        space = load(CONDITIONAL, tmp_path, overrides=["adapter.kind=lora", "epochs=3", "data.max_train_rows=100"])
        assert "adapter.kind" not in space.search
        config = space.any_config()
        assert (config.adapter.kind, config.epochs, config.data.max_train_rows) == ("lora", 3, 100)

    def test_parameters_that_can_no_longer_apply_are_left_out_with_a_warning(self, tmp_path: Path):
        with pytest.warns(UserWarning) as caught:
            space = load(CONDITIONAL, tmp_path, overrides=["adapter.kind=none"])
        assert space.hyperparameters == ("finetune", "hidden_layers")
        assert sorted(str(warning.message) for warning in caught) == [
            "--set adapter.kind=none: search.adapter.alpha is left out, since its condition on adapter.rank can no "
            "longer hold",
            "--set adapter.kind=none: search.adapter.rank is left out, since its condition on adapter.kind can no "
            "longer hold",
        ]

    def test_parameters_that_still_apply_bring_no_warning(self, tmp_path: Path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            space = load(CONDITIONAL, tmp_path, overrides=["adapter.rank=8"])
        assert all("adapter.alpha" in values for values in space.grid())

    def test_top_level_keys_and_what_is_below_them(self, tmp_path: Path):
        space = load(
            CONDITIONAL,
            tmp_path,
            overrides=[
                "trials=3",
                "seed=9",
                "objectives.dev_score.reference=0.25",
                "objectives.train_seconds.constraint=50",
                "resources.num_workers=2",
                "resources.concurrent_trials=4",
                "search.learning_rate={loguniform: [1e-5, 1e-3]}",
                "search.adapter.rank.choice=[4, 8]",
            ],
        )
        assert (space.trials, space.seed, space.resources.num_workers, space.concurrent_trials) == (3, 9, 2, 4)
        assert space.objectives["dev_score"].reference == 0.25
        assert space.objectives["train_seconds"].constraint == 50
        assert "learning_rate" in space.search
        assert space.any_config().seed == 9
        assert {values.get("adapter.rank") for values in draws(space, 100)} == {None, 4, 8}
        assert space.any_config().resources.num_workers == 2

    def test_searching_a_fixed_key_frees_it_and_the_last_option_wins(self, tmp_path: Path):
        space = load(
            CONDITIONAL, tmp_path, overrides=["search.adapter.dropout={uniform: [0, 0.2]}", "epochs=2", "epochs=5"]
        )
        assert "adapter.dropout" not in space.fixed
        assert "adapter.dropout" in space.search
        assert space.fixed["epochs"] == 5

    @pytest.mark.filterwarnings("ignore:.*is left out")
    def test_a_group_of_keys(self, tmp_path: Path):
        space = load(CONDITIONAL, tmp_path, overrides=["adapter={kind: dora, rank: 4}"])
        assert (space.fixed["adapter.kind"], space.fixed["adapter.rank"], space.fixed["adapter.dropout"]) == (
            "dora",
            4,
            0.1,
        )

    def test_mistakes_name_the_option(self, tmp_path: Path):
        with pytest.raises(ConfigError) as caught:
            load(
                CONDITIONAL,
                tmp_path,
                overrides=[
                    "adapter.rnk=4",
                    "=3",
                    "epochs=[1",
                    "epochs=0",
                    "trials=",
                    "dropout=&a [*a]",
                    "finetune=heads",
                ],
                num_trials=0,
            )
        assert caught.value.problems == (
            "--set adapter.rnk=4: unknown key 'adapter.rnk'; did you mean 'adapter.rank'?",
            "--set =3: must be KEY=VALUE, as in --set epochs=3",
            "--set epochs=[1: the '[' that opens here is not closed by a ']'",
            "--set dropout=&a [*a]: an alias (*) stands inside what it is an alias of",
            "--trials 0: trials has 0; must be greater than or equal to 1",
            "--set epochs=0: fixed.epochs has 0; must be greater than or equal to 1",
            "--set finetune=heads: fixed.finetune has 'heads'; did you mean 'heads_only'? (full, heads_only)",
        )

    def test_a_clash_made_by_an_option_is_found(self, tmp_path: Path):
        with pytest.raises(ConfigError, match=r"adapter\.kind lora has no use"):
            load(CONDITIONAL, tmp_path, overrides=["finetune=heads_only"])


class TestPaths:
    def test_data_directory_is_the_course_and_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        data = load(CONDITIONAL, tmp_path, data_directory="files").any_config().data
        assert (data.source, data.directory) == ("course", str(tmp_path / "files"))

    def test_table_sources_become_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        task = (
            "{name: mood, kind: classification, num_classes: 2, source: {kind: table, train: a.csv, dev: /b.csv, "
            "columns: {sentence1: text}}}"
        )
        text = CONDITIONAL.replace("encoder: tiny", f"encoder: tiny, tasks: [sst, {task}]")
        text = text.replace("{sst: 1, quora: 2, sts: 2}", "{sst: 1, mood: 2}").replace("dev_score:", "mood:")
        space = load(text, tmp_path)
        assert [known.name for known in space.tasks] == ["sst", "mood"]
        source = space.any_config().tasks[1].source
        assert (source.train, source.dev, source.test) == (str(tmp_path / "a.csv"), "/b.csv", None)
        SearchSpace.model_validate_json(space.model_dump_json())

    def test_a_local_encoder_becomes_absolute_and_a_hub_name_stays(self, tmp_path: Path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine").mkdir()
        assert load(CONDITIONAL.replace("tiny", "./mine"), tmp_path).any_config().encoder == str(tmp_path / "mine")
        assert load(CONDITIONAL.replace("tiny", "some/name"), tmp_path).any_config().encoder == "some/name"


def test_the_journal_can_hold_a_space_and_give_it_back(tmp_path: Path):
    space = load(CONDITIONAL + "question: why?\n", tmp_path, overrides=["search.dropout={uniform: [0, 0.5]}"])
    assert SearchSpace.model_validate_json(space.model_dump_json()) == space


def test_resolved_resources_keep_the_number_of_trials_at_once(tmp_path: Path):
    space = load(CONDITIONAL, tmp_path, overrides=["resources.concurrent_trials=3"])
    resolved = space.with_resources(space.any_config().resources.model_copy(update={"gpus_per_worker": 0}))
    assert (resolved.resources.gpus_per_worker, resolved.concurrent_trials) == (0, 3)


def test_values_of_another_space_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"unknown key 'adapter\.rnk'; did you mean 'adapter\.rank'"):
        load(CONDITIONAL, tmp_path).trial_config({"adapter.rnk": 8})


SHIPPED_SPACES = [path for path in sorted(SHIPPED.rglob("*.yaml")) if path.stem != "topics"]


@pytest.mark.parametrize("path", SHIPPED_SPACES, ids=lambda path: path.stem)
def test_shipped_spaces_are_right_and_say_what_they_are_for(path: Path):
    space = load_search_space(path, data_directory="data")
    text = path.read_text()
    relative = path.relative_to(SHIPPED.parent)
    assert text.startswith("#")
    assert "# Takes:" in text
    assert f"python -m mtbert_ray.sweep {relative}" in text
    assert space.question is not None
    assert path.stem in space.name
    for config in space.example_configs():
        assert config.data.source == "course"


def test_a_mistake_is_found_before_anything_slow_is_imported(tmp_path: Path):
    (tmp_path / "space.yaml").write_text(CONDITIONAL.replace("trials:", "trails:"))
    script = (
        "import sys\nfrom pathlib import Path\nfrom mtbert_ray.study.space import load_search_space\n"
        "try:\n    load_search_space(Path('space.yaml'))\nexcept Exception as error:\n    print(error)\n"
        "slow = {'numpy', 'scipy', 'pandas', 'torch', 'ray', 'optuna', 'transformers', 'moocore'}\n"
        "print(sorted(slow & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "did you mean 'trials'?" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_quickstart_needs_nothing_from_outside():
    config = load_search_space(SHIPPED / "quickstart.yaml").any_config()
    assert (config.encoder, config.data.source) == ("minilm", "toy")


def test_random_noise_alone_follows_epsilon_in_all_of_the_range_that_smart_searches():
    """Without ascent steps, normal noise far below epsilon would be the same for every epsilon."""
    space = load_search_space(SHIPPED / "smart.yaml", data_directory="data")
    assert 0 in space.search["smart.steps"].values
    assert space.any_config().smart.noise_variance ** 0.5 >= space.search["smart.epsilon"].high
