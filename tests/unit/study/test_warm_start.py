"""What a searcher is told of an earlier sweep, which of its trials fit, and what is wrong with `warm_start_from`.

Over 300 lines: one subject from the journal to the message, on one made-up sweep.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import ConfigError
from mtbert_ray.events import ProbeFinished, SweepStarted
from mtbert_ray.journal import Journal
from mtbert_ray.metrics import Objective
from mtbert_ray.study.feedback import Feedback
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.space.load import SearchSpace, load_search_space
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange
from mtbert_ray.study.warm_start import EarlierSweep, fit, teach
from mtbert_ray.trial import Sweep, Trial

OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.0),
    "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0),
}
FIXED = {"encoder": "tiny", "epochs": 4}
SEARCH = {
    "adapter.kind": Choice(values=("none", "lora")),
    "adapter.rank": Choice(values=(2, 8), when={"adapter.kind": ("lora",)}),
    "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=1e-3),
    "hidden_layers": Choice(values=(1, {"sst": 1, "quora": 2, "sts": 2})),
}
CONFIG = {"adapter.kind": "lora", "adapter.rank": 8, "learning_rate": 1e-4, "hidden_layers": 1}


def space_of(algorithm: str = "random", search: dict = SEARCH, fixed: dict = FIXED, **more) -> SearchSpace:
    return SearchSpace(
        name="now", objectives=OBJECTIVES, fixed=fixed, search=search, algorithm=algorithm, trials=20, **more
    )


def epoch(number: int, score: float, seconds: float) -> dict:
    return {"epoch": number, "sst": score, "quora": score, "sts": score, "dev_score": score, "train_seconds": seconds}


def trial_of(values: dict, epochs: tuple = (), *, fixed: dict = FIXED, name: str = "t000", **more) -> Trial:
    config = TrialConfig.model_validate(nest({**fixed, **values})).model_dump(mode="json")
    return Trial(trial_id=name, hyperparameters=dict(values), config=config, started=0.0, epochs=list(epochs), **more)


def started(**more) -> SweepStarted:
    return SweepStarted(
        name="earlier",
        space={},
        objectives=OBJECTIVES,
        hyperparameters=tuple(SEARCH),
        tasks=("sst", "quora", "sts"),
        num_trials=9,
        seed=0,
        versions={},
        git_revision=None,
        hardware={},
        **more,
    )


def sweep_of(*trials: Trial) -> Sweep:
    return Sweep(started=started(), trials=list(trials), finished=None)


class RecordingSearcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.opened: list[dict] = []
        self.told: list[tuple] = []

    def open(self, values):
        self.opened.append(dict(values))
        return len(self.opened) - 1

    def tell(self, key, losses, violation=0.0):
        self.told.append(("end", key, None if losses is None else losses.tolist(), violation))

    def tell_intermediate(self, key, resource, losses, violation=0.0):
        self.told.append((resource, key, None if losses is None else losses.tolist(), violation))

    def tell_stopped(self, key):
        self.told.append(("stopped", key))


def taught(searcher: Searcher, space: SearchSpace, earlier: Sweep) -> EarlierSweep:
    sweep = fit("reports/first", earlier, space, OBJECTIVES)
    teach(searcher, Feedback(searcher, space, OBJECTIVES), sweep.trials)
    return sweep


def told_of(*trials: Trial) -> list[tuple]:
    searcher = RecordingSearcher()
    taught(searcher, space_of(), sweep_of(*trials))
    return searcher.told


class TestWhatIsTold:
    def test_a_full_run(self):
        epochs = (epoch(1, 0.5, 5.0), epoch(2, 0.7, 11.0), epoch(3, 0.6, 16.0), epoch(4, 0.4, 20.0))
        # Of the scores the best so far, of the costs what the whole run would take.
        assert told_of(trial_of(CONFIG, epochs, status="finished")) == [
            (1, 0, [-0.5, 20.0], 0.0),
            (2, 0, [-0.7, 22.0], 0.0),
            (3, 0, [-0.7, pytest.approx(16 / 3 * 4)], 0.0),
            (4, 0, [-0.7, 20.0], 0.0),
            ("end", 0, [-0.7, 20.0], 0.0),
        ]

    @pytest.mark.parametrize("ended", [{"status": "stopped", "stop_kind": "rung"}, {"status": "running"}])
    def test_one_that_was_stopped_or_interrupted(self, ended: dict):
        assert told_of(trial_of(CONFIG, (epoch(1, 0.5, 25.0),), **ended)) == [
            (1, 0, [-0.5, 100.0], 1.0),
            ("stopped", 0),
        ]

    def test_one_that_broke_a_constraint(self):
        trial = trial_of(CONFIG, (epoch(1, 0.5, 15.0),), status="stopped", stop_kind="constraint")
        assert told_of(trial) == [(1, 0, [-0.5, 60.0], 0.2), ("end", 0, None, 0.2)]

    def test_one_that_ended_at_its_probe(self):
        probe = ProbeFinished(trial_id="t000", steps=35, metrics={}, projection={"train_seconds": 75.0})
        assert told_of(trial_of(CONFIG, probe=probe, status="stopped", stop_kind="probe")) == [("end", 0, None, 0.5)]

    @pytest.mark.parametrize("seconds", [49.0, 52.0])
    def test_one_whose_costs_broke_nothing_for_certain(self, seconds: float):
        probe = ProbeFinished(trial_id="t000", steps=35, metrics={}, projection={"train_seconds": seconds})
        assert told_of(trial_of(CONFIG, probe=probe, status="stopped", stop_kind="probe")) == [("stopped", 0)]

    def test_one_out_of_memory_and_one_that_failed(self):
        trials = (trial_of(CONFIG, status="stopped", stop_kind="memory"), trial_of(CONFIG, status="failed"))
        assert told_of(*trials) == [("end", 0, None, math.inf), ("end", 1, None, 0.0)]

    def test_full_runs_come_first_so_that_stopped_ones_can_be_extrapolated(self):
        stopped = trial_of(CONFIG, (epoch(1, 0.5, 5.0),), status="stopped", stop_kind="rung")
        finished = trial_of(CONFIG, (epoch(1, 0.5, 5.0),), status="finished")
        ends = [told[:2] for told in told_of(stopped, finished) if told[0] in ("end", "stopped")]
        assert ends == [("end", 1), ("stopped", 0)]

    def test_a_diverged_run_failed(self):
        told = told_of(trial_of(CONFIG, (epoch(1, math.nan, 5.0),), status="finished"))
        assert told == [(1, 0, None, 0.0), ("end", 0, None, 0.0)]


class TestWhichTrialsFit:
    def fitting(self, *trials: Trial, space: SearchSpace | None = None, objectives: dict = OBJECTIVES):
        sweep = fit("reports/first", sweep_of(*trials), space or space_of(), objectives)
        return [values for values, _ in sweep.trials], sweep

    def test_conditions_decide_which_keys_there_are(self):
        values, sweep = self.fitting(trial_of({**CONFIG, "adapter.kind": "none"}), trial_of(CONFIG))
        assert values[0] == {"adapter.kind": "none", "learning_rate": 1e-4, "hidden_layers": 1}
        assert values[1] == CONFIG
        assert (len(sweep.trials), sweep.left_out, sweep.differences) == (2, {}, ())

    def test_values_outside_of_what_is_searched_are_left_out_and_counted(self):
        values, sweep = self.fitting(
            trial_of({**CONFIG, "adapter.kind": "dora"}),
            trial_of({**CONFIG, "adapter.rank": 4}),
            trial_of({**CONFIG, "learning_rate": 0.1}),
            trial_of({**CONFIG, "learning_rate": 0.2}),
            trial_of({**CONFIG, "hidden_layers": {"sst": 1, "quora": 2, "sts": 2}}),
        )
        assert [each["hidden_layers"] for each in values] == [{"sst": 1, "quora": 2, "sts": 2}]
        assert sweep.left_out == {
            "adapter.kind 'dora' is not searched": 1,
            "adapter.rank 4 is not searched": 1,
            "learning_rate is outside of 1e-05 to 0.001": 2,
        }
        assert "Warm start from 1 of 5 trials" in sweep.notes[0]

    def test_a_key_that_was_fixed_then_and_is_searched_now_has_its_value(self):
        searched = {key: value for key, value in CONFIG.items() if key != "adapter.kind"}
        values, sweep = self.fitting(trial_of(searched, fixed={**FIXED, "adapter.kind": "lora"}))
        assert values == [CONFIG]
        assert sweep.differences == ()

    def test_a_key_that_was_left_at_its_default_too(self):
        space = space_of(search={**SEARCH, "batch_size": IntRange(low=8, high=32, step=8)})
        values, _ = self.fitting(trial_of(CONFIG), space=space)
        assert values == [{**CONFIG, "batch_size": 16}]

    def test_a_key_that_was_searched_then_must_be_as_it_is_fixed_now(self):
        trials = [trial_of({**CONFIG, "dropout": dropout}) for dropout in (0.1, 0.5)]
        values, sweep = self.fitting(*trials, space=space_of(fixed={**FIXED, "dropout": 0.5}))
        assert values == [CONFIG]
        assert sweep.left_out == {"another dropout": 1}

    def test_what_was_fixed_otherwise_is_named(self):
        earlier = {"encoder": "tiny", "epochs": 8, "weight_decay": 0.5, "seed": 3}
        values, sweep = self.fitting(trial_of(CONFIG, fixed=earlier), trial_of(CONFIG, fixed=earlier))
        assert len(values) == 2
        assert sweep.differences == ("weight_decay was 0.5, here 0.01", "epochs was 8, here 4")
        first, second = sweep.notes
        assert "2 of 2 trials of reports/first" in first
        assert "weight_decay was 0.5, here 0.01; epochs was 8, here 4" in second

    def test_an_experiment_of_the_same_name_must_be_the_same(self):
        experiments = {"wide": {"adapter.rank": 8}, "narrow": {"adapter.rank": 2}}
        search = {"experiment": Choice(values=tuple(experiments)), "learning_rate": SEARCH["learning_rate"]}
        fixed = {**FIXED, "adapter.kind": "lora"}
        trials = [
            trial_of({"experiment": "wide", "learning_rate": 1e-4}, fixed={**fixed, "adapter.rank": rank})
            for rank in (8, 16)
        ]
        trials.append(trial_of({"learning_rate": 1e-4}, fixed=fixed))
        values, sweep = self.fitting(*trials, space=space_of(search=search, fixed=fixed, experiments=experiments))
        assert values == [{"experiment": "wide", "learning_rate": 1e-4}]
        assert sweep.left_out == {"another adapter.rank": 1, "experiment null is not searched": 1}

    def test_full_runs_without_what_is_asked_now_did_not_fail(self):
        objectives = {**OBJECTIVES, "energy_kj": Objective(direction="minimize", reference=10.0)}
        values, sweep = self.fitting(trial_of(CONFIG, (epoch(1, 0.5, 5.0),), status="finished"), objectives=objectives)
        assert values == []
        assert sweep.left_out == {"no energy_kj was measured": 1}
        (note,) = sweep.notes
        assert "0 of 1 trials" in note and "no energy_kj was measured (1)" in note


@pytest.mark.parametrize("algorithm", SEARCHERS)
def test_no_searcher_suggests_again_what_an_earlier_sweep_tried(algorithm: str):
    search = {key: SEARCH[key] for key in ("adapter.kind", "adapter.rank")}
    space = space_of(algorithm, search, fixed={**FIXED, "learning_rate": 1e-4, "hidden_layers": 1})
    searcher = SEARCHERS[algorithm](space)
    epochs = tuple(epoch(number, 0.1 * number, 5.0 * number) for number in (1, 2, 3, 4))
    earlier = (
        trial_of(CONFIG, epochs, status="finished"),
        trial_of({**CONFIG, "adapter.rank": 2}, epochs[:1], status="stopped", stop_kind="rung"),
    )
    assert len(taught(searcher, space, sweep_of(*earlier)).trials) == 2
    key, values = searcher.ask()
    assert values == {"adapter.kind": "none"}
    searcher.tell(key, np.array([0.0, 1.0]))
    assert searcher.ask() is None


def test_an_earlier_sweep_shows_where_the_front_is():
    # Score and cost both fall with the rate: the earlier trials say so, and nothing else does.
    def epochs(rate: float) -> tuple:
        return tuple(epoch(number, 1 - rate * 500, number * (1 + rate * 5000)) for number in (1, 2, 3, 4))

    rates = np.geomspace(1e-5, 1e-3, 30)
    configs = [{**CONFIG, "learning_rate": float(rate)} for rate in rates]
    earlier = sweep_of(*(trial_of(values, epochs(values["learning_rate"]), status="finished") for values in configs))

    def mean_rate(seed: int, *, warm: bool) -> float:
        space = space_of("front", seed=seed)
        searcher = SEARCHERS["front"](space)
        if warm:
            taught(searcher, space, earlier)
        return float(np.mean([math.log10(searcher.ask()[1]["learning_rate"]) for _ in range(20)]))

    seeds = range(3)
    warm, cold = (np.mean([mean_rate(seed, warm=warm) for seed in seeds]) for warm in (True, False))
    assert warm < cold - 0.4


SPACE = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.2}
fixed: {encoder: tiny}
search:
  adapter.kind: {choice: [none, lora]}
trials: 2
"""


class TestMistakes:
    def load(self, folder: Path, warm_start_from: str) -> SearchSpace:
        path = folder / "space.yaml"
        path.write_text(f"{SPACE}warm_start_from: {warm_start_from}\n")
        return load_search_space(path)

    def mistakes(self, folder: Path, warm_start_from: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(folder, warm_start_from)
        return [problem.removeprefix(f"{folder / 'space.yaml'}:8: ") for problem in caught.value.problems]

    def sweep(self, folder: Path) -> Path:
        Journal(folder).append(started())
        return folder

    def test_folders_are_kept_by_their_absolute_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        self.sweep(tmp_path / "first")
        self.sweep(tmp_path / "second")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        space = self.load(tmp_path, "[first, ~/second]")
        assert space.warm_start_from == (str(tmp_path / "first"), str(tmp_path / "second"))
        assert config_key(space.model_dump(mode="json")) == config_key(
            SearchSpace.model_validate(space.model_dump(mode="json")).model_dump(mode="json")
        )

    def test_every_folder_must_hold_a_sweep(self, tmp_path: Path):
        sweep = self.sweep(tmp_path / "sweep")
        damaged = self.sweep(tmp_path / "damaged")
        (damaged / "journal.jsonl").write_text("no journal\nat all\n")
        file = sweep / "journal.jsonl"
        listed = f"[{tmp_path / 'nowhere'}, {damaged}, {sweep}, {sweep}/, 5, {file}, '']"
        found = self.mistakes(tmp_path, listed)
        names = (tmp_path / "nowhere", damaged / "journal.jsonl", "warm_start_from.2", "5", file, "''")
        indices = (0, 1, 3, 4, 5, 6)
        for problem, index, name in zip(found, indices, names, strict=True):
            assert problem.startswith(f"warm_start_from.{index}") and str(name) in problem

    @pytest.mark.parametrize("value", ["reports/first", "{a: b}"])
    def test_it_must_be_a_list(self, tmp_path: Path, value: str):
        (found,) = self.mistakes(tmp_path, value)
        assert "must be a list" in found
