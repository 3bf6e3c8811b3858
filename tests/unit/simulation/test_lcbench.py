"""LCBench: its arithmetic on a made-up model, its files, and the surrogate itself where it is."""

import json
import sys

import numpy as np
import pytest

from mtbert_ray.errors import ConfigError, DataError
from mtbert_ray.simulation.clock import Outcome, simulate
from mtbert_ray.simulation.lcbench import NUM_EPOCHS, OBJECTIVES, Benchmark, Task
from mtbert_ray.study.space.parameters import FloatRange, IntRange, RandomSuggest

SEARCH = {
    "batch_size": IntRange(low=16, high=512, log=True),
    "learning_rate": FloatRange(kind="loguniform", low=1e-4, high=1e-1),
    "momentum": FloatRange(kind="uniform", low=0.1, high=0.99),
    "weight_decay": FloatRange(kind="uniform", low=1e-5, high=1e-1),
    "num_layers": IntRange(low=1, high=5),
    "max_units": IntRange(low=64, high=1024, log=True),
    "max_dropout": FloatRange(kind="uniform", low=0.0, high=1.0),
}


class MadeUpModel:
    """Accuracy is 100 times the dropout, after half of the epochs; each epoch takes a second a layer."""

    def __init__(self) -> None:
        self.calls = 0

    def run(self, output_names, inputs):
        self.calls += 1
        assert inputs["x_cat"].dtype == np.int32 and set(inputs["x_cat"].ravel()) == {4}
        epoch, layers, dropout = inputs["x_cont"][:, [0, 5, 7]].T
        seconds = np.where(epoch == 3, 0.0, epoch * layers)
        return [np.stack([seconds, 100 * dropout * np.minimum(1, epoch / 26)], axis=1)]


@pytest.fixture
def task() -> Task:
    return Task("made-up", 4, MadeUpModel(), SEARCH, (1, 3, 26, NUM_EPOCHS), num_reference_runs=300)


def config(**values) -> dict:
    plain = {"batch_size": 64, "learning_rate": 1e-2, "momentum": 0.5, "weight_decay": 1e-2, "max_units": 128}
    return {**plain, "num_layers": 2, "max_dropout": 0.5, **values}


class TestTask:
    def test_a_full_run_costs_what_the_random_ones_do_on_average(self, task):
        # Three layers on average.
        assert task.mean_seconds == pytest.approx(52 * 3, rel=0.1)

    def test_losses_are_scaled_by_the_random_full_runs(self, task):
        fast, slow = task.curve(config(num_layers=1)), task.curve(config(num_layers=5))
        assert (fast.losses[1], slow.losses[1]) == (0.0, 1.0)
        assert fast.losses[0] == slow.losses[0] == pytest.approx(0.5, abs=0.02)

    def test_an_early_result_is_scaled_as_a_full_one(self, task):
        curve = task.curve(config())
        assert [curve.epoch_at(place) for place in range(4)] == [1, 3, 26, 52]
        # As good as ever after 26 epochs, in half of the time: log10(2) less, of a range of log10(5).
        (*_, half, whole) = ([metrics[name] for name in OBJECTIVES] for metrics in curve.metrics)
        assert half[0] == pytest.approx(whole[0])
        assert whole[1] - half[1] == pytest.approx(np.log10(2) / np.log10(5))
        assert whole == curve.losses.tolist()

    def test_time_never_falls_even_where_the_model_says_so(self, task):
        np.testing.assert_allclose(task.curve(config()).seconds, [2.0, 2.0, 52.0, 104.0])

    def test_the_random_runs_have_volume_one_and_nothing_has_none(self, task):
        assert task.volume(np.zeros((0, 2))) == 0.0
        # Everything below the reference, over what the random runs dominate of it.
        assert task.volume(np.array([[0.0, 0.0]])) == pytest.approx(1.1**2 / 1.2, rel=0.02)

    def test_a_repeated_question_is_free(self, task):
        task.curve(config())
        calls = task._model.calls
        task.curve(dict(reversed(config().items())))
        assert task._model.calls == calls

    def test_a_sweep_asks_the_searcher_for_each_trial(self, task):
        outcome, again = (self.run(task) for _ in range(2))
        assert 4 <= len(outcome.trials) < 20
        assert [trial.spent for trial in again.trials] == [trial.spent for trial in outcome.trials]

    @staticmethod
    def run(task: Task) -> Outcome:
        sweep = task.start("random", 3, lambda: None)
        budget = {"mean_seconds": task.mean_seconds, "budget": 10.0}
        return simulate(sweep.study, sweep.curve_of, sweep.clock, workers=4, **budget)


class TestFiles:
    def test_a_folder_without_it_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"config_space.json: cannot be read: .*holds yahpo gym's lcbench/"):
            Benchmark(tmp_path)

    def test_another_json_is_refused(self, tmp_path):
        (tmp_path / "lcbench").mkdir()
        for name in ("config_space.json", "encoding.json", "model.onnx"):
            (tmp_path / "lcbench" / name).write_text("{}")
        with pytest.raises(DataError, match="is not yahpo gym's"):
            Benchmark(tmp_path)

    def test_without_onnxruntime_the_extra_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        (tmp_path / "lcbench").mkdir()
        choice = {"name": "OpenML_task_id", "type": "categorical", "choices": ["3945"]}
        (tmp_path / "lcbench" / "config_space.json").write_text(json.dumps({"hyperparameters": [choice]}))
        (tmp_path / "lcbench" / "encoding.json").write_text(json.dumps({"OpenML_task_id": {"3945": 1}}))
        (tmp_path / "lcbench" / "model.onnx").write_text("")
        with pytest.raises(DataError, match=r"needs the package 'onnxruntime': pip install 'mtbert-ray\[bench\]'"):
            Benchmark(tmp_path)


class TestSurrogate:
    def test_it_has_34_tasks_and_knows_no_others(self, bench_dir):
        benchmark = Benchmark(bench_dir)
        assert len(benchmark.names) == 34 and benchmark.names[:2] == ("3945", "7593")
        with pytest.raises(ConfigError, match="LCBench has no task 3946; did you mean '3945'"):
            benchmark.task("3946")

    def test_training_longer_costs_more_and_learns_something(self, bench_dir):
        task = Benchmark(bench_dir).task("34539", (1, 9, NUM_EPOCHS))
        space, suggest = task.space(seed=0), RandomSuggest(np.random.default_rng(0))
        curves = [task.curve(space.sample(suggest)) for _ in range(20)]
        assert all((np.diff(curve.seconds) > 0).all() for curve in curves)
        error, _ = OBJECTIVES
        gained = [curve.metrics[0][error] - curve.metrics[-1][error] for curve in curves]
        assert np.mean(gained) > 0
