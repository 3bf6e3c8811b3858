"""LCBench by yahpo gym's surrogate (Pfisterer et al. 2022): error and training time over 52 epochs on 34 OpenML tasks.

Needs onnxruntime (the `bench` extra), imported only when the file is opened.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.errors import ConfigError, DataError, did_you_mean
from mtbert_ray.metrics import Objective
from mtbert_ray.pareto.front import hypervolume
from mtbert_ray.simulation.clock import Clock, Curve
from mtbert_ray.simulation.compare import MakePruner, Simulation
from mtbert_ray.simulation.recorded_search import simulated_start
from mtbert_ray.study.search import SEARCHERS
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.space.parameters import FloatRange, IntRange, Parameter, RandomSuggest
from mtbert_ray.study.study import Study

# E epochs, N configurations

NUM_EPOCHS = 52
NUM_REFERENCE_RUNS = 20_000
REFERENCE_POINT = np.array([1.1, 1.1])
OBJECTIVES = {
    "error": Objective(direction="minimize", reference=1.1),
    "log_time": Objective(direction="minimize", reference=1.1),
}
_HYPERPARAMETERS = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
"""In the order of the model's inputs, after the epoch."""
_SHORTEST_SECONDS = 1e-3
"""The surrogate may predict 0 seconds, which has no logarithm."""


class Model(Protocol):
    """An `onnxruntime.InferenceSession`."""

    def run(self, output_names: None, inputs: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Return the outputs: one array `(N, 6)` whose first columns are seconds and validation accuracy in percent."""
        ...


class Task:
    """One data set: configs in, learning curves out.

    A curve's losses are error and log10 of the time so far, both scaled by the extremes of random full runs.

    Args:
        name: its OpenML number.
        code: the model's own number for it.
        model: the surrogate.
        search: hyperparameter -> its range.
        epochs: at which curves report, the last being the full run; few of them save most of the model's time.
        num_reference_runs: random full runs by which the losses are scaled.
    """

    def __init__(
        self,
        name: str,
        code: int,
        model: Model,
        search: Mapping[str, Parameter],
        epochs: Sequence[int],
        num_reference_runs: int = NUM_REFERENCE_RUNS,
    ) -> None:
        self.name = name
        self.epochs = tuple(epochs)
        self._code = code
        self._model = model
        self._search = dict(search)
        self._curves: dict[str, Curve] = {}
        suggest = RandomSuggest(np.random.default_rng(0))
        space = self.space(seed=0)
        error_N, seconds_N = self._predict([(space.sample(suggest), NUM_EPOCHS) for _ in range(num_reference_runs)])
        losses_N2 = np.stack([error_N, np.log10(seconds_N)], axis=1)
        self._low_2, self._range_2 = losses_N2.min(axis=0), np.ptp(losses_N2, axis=0)
        self._random_volume = hypervolume((losses_N2 - self._low_2) / self._range_2, REFERENCE_POINT)
        self.mean_seconds = float(seconds_N.mean())
        """Of a full run: the unit of budgets."""

    def space(self, *, seed: int) -> SearchSpace:
        """Return the search space as a searcher takes it."""
        return SearchSpace(name=f"lcbench-{self.name}", objectives=OBJECTIVES, search=self._search, seed=seed)

    def start(self, algorithm: str, seed: int, pruner: MakePruner) -> Simulation:
        """Return a simulation with a new searcher."""
        clock = Clock()
        study = Study(
            simulated_start(self.name, OBJECTIVES, num_trials=None, seed=seed),
            space=self.space(seed=seed),
            searcher=SEARCHERS[algorithm],
            pruner=lambda space, objectives: pruner(),
            config_of=lambda values: {"epochs": NUM_EPOCHS, "tasks": []},
            clock=clock,
        )
        return Simulation(study=study, curve_of=lambda started: self.curve(started.hyperparameters), clock=clock)

    def curve(self, values: Mapping[str, Any]) -> Curve:
        """Return the curve of a config, predicted once."""
        key = config_key(values)
        if key not in self._curves:
            error_E, seconds_E = self._predict([(values, epoch) for epoch in self.epochs])
            seconds_E = np.maximum.accumulate(seconds_E)
            losses_E2 = (np.stack([error_E, np.log10(seconds_E)], axis=1) - self._low_2) / self._range_2
            metrics = [
                {"epoch": epoch, **dict(zip(OBJECTIVES, losses_2.tolist(), strict=True))}
                for epoch, losses_2 in zip(self.epochs, losses_E2, strict=True)
            ]
            self._curves[key] = Curve(metrics=metrics, losses=losses_E2[-1], is_feasible=True, seconds=seconds_E)
        return self._curves[key]

    def volume(self, losses_N2: NDArray[np.float64]) -> float:
        """Return the hypervolume of full runs as a share of that of the random reference runs."""
        return hypervolume(losses_N2, REFERENCE_POINT) / self._random_volume

    def _predict(
        self, runs: Sequence[tuple[Mapping[str, Any], int]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return error `(N,)` as a share and time `(N,)` in seconds, of configs after so many epochs each."""
        rows = [[epochs, *(values[name] for name in _HYPERPARAMETERS)] for values, epochs in runs]
        inputs = {
            "x_cat": np.full((len(rows), 1), self._code, dtype=np.int32),
            "x_cont": np.array(rows, dtype=np.float32),
        }
        output = np.asarray(self._model.run(None, inputs)[0], dtype=np.float64)
        return 1 - output[:, 1] / 100, np.maximum(output[:, 0], _SHORTEST_SECONDS)


class Benchmark:
    """The 34 tasks, from a folder with `lcbench/model.onnx` and its two descriptions.

    Raises:
        DataError: they are missing or damaged, or onnxruntime is not installed.
    """

    def __init__(self, folder: Path) -> None:
        root = folder / "lcbench"
        try:
            described = json.loads((root / "config_space.json").read_text())["hyperparameters"]
            self._codes: dict[str, int] = json.loads((root / "encoding.json").read_text())["OpenML_task_id"]
            model = (root / "model.onnx").read_bytes()
        except OSError as error:
            raise DataError(
                f"{error.filename}: cannot be read: {error.strerror}. Give the folder that holds yahpo gym's lcbench/: "
                "model.onnx, config_space.json and encoding.json"
            ) from error
        except (ValueError, KeyError) as error:
            raise DataError(f"{root}: config_space.json or encoding.json is not yahpo gym's: {error}") from error
        self._search = {entry["name"]: _parameter(entry) for entry in described if entry["name"] in _HYPERPARAMETERS}
        choices = next(entry["choices"] for entry in described if entry["name"] == "OpenML_task_id")
        self.names = tuple(sorted(choices, key=int))
        """OpenML numbers, in order."""
        self._model = _session(model, root)

    def task(self, name: str, epochs: Sequence[int] = range(1, NUM_EPOCHS + 1)) -> Task:
        """Return a task, scaled, in a second or two; raises as `check_names`."""
        self.check_names([name])
        return Task(name, self._codes[name], self._model, self._search, epochs)

    def check_names(self, names: Sequence[str]) -> None:
        """Raise ConfigError where there is no such task."""
        wrong = [
            f"LCBench has no task {name}{did_you_mean(name, self.names)}" for name in names if name not in self.names
        ]
        if wrong:
            raise ConfigError([*wrong, f"its tasks are {', '.join(self.names)}"])


def _session(model: bytes, root: Path) -> Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(
            f"{root}: LCBench's surrogate needs the package 'onnxruntime': pip install 'mtbert-ray[bench]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Model = onnxruntime.InferenceSession(model, options)
    return session


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    low, high = entry["lower"], entry["upper"]
    if entry["type"] == "uniform_int":
        return IntRange(low=low, high=high, log=entry["log"])
    return FloatRange(kind="loguniform" if entry["log"] else "uniform", low=low, high=high)
