"""ParetoPruner as a Ray Tune scheduler, for any Ray Tune script; imports neither torch nor transformers."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSystem, FileType
from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.files import put_file
from mtbert_ray.metrics import METRICS, Metric, Objective
from mtbert_ray.study.pruning.axes import Axes, Goal
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.pruning.pareto_pruner import ParetoPruner
from mtbert_ray.study.pruning.rungs import HalvingConfig

_log = logging.getLogger(__name__)
_OF_RAY = frozenset(AUTO_RESULT_KEYS) | {"trial_id", "done", "experiment_tag", "should_checkpoint"}

# Not .json: when it restores, Tune copies such files aside, and back over newer ones at its next snapshot.
STATE_NAME = "pareto_scheduler.state"
STATE_VERSION = 2
_REMEDY = "Move the file away to continue with a scheduler without earlier results"


class ParetoScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Stops trials by their Pareto rank at rungs, or by their projected costs.

    Leave `metric` and `mode` of `TuneConfig` unset: the objectives are named here. A result may hold some of the
    metrics only, as projected costs before the first score; they are kept until the others are reported.

    The state is kept in the experiment's folder, so that after `Tuner.restore` decisions are as before.

    Args:
        objectives: metric -> `max` or `min`, or an `Objective` with a reference, a constraint, the best attainable.
        max_t: a full run, in `time_attr`. Rungs lie below it, and a trial that reaches it is stopped.
        time_attr: the entry of a result with the trial's progress.
        halving: the rungs.
        constraints: metric -> bound, for objectives given as `max` or `min`; an upper bound for other metrics.
        probe_margin: a projected cost must exceed a bound by this share to stop a trial.
        prefix: of the metrics' names in a result, as `eval/`.
        metrics: name -> which metrics are costs, and the best possible score.
        length_of: config -> full run of a trial that ends by itself, at most `max_t`. Such a trial is not stopped at
            `max_t`, nor pruned by its last result.

    Raises:
        ConfigError: arguments are wrong.
    """

    # With buffered results a trial would continue for a while after its stop.
    _supports_buffered_results = False

    def __init__(
        self,
        objectives: Mapping[str, Goal | Objective],
        *,
        max_t: int,
        time_attr: str = "training_iteration",
        halving: HalvingConfig | None = None,
        constraints: Mapping[str, float] | None = None,
        probe_margin: float = 0.1,
        prefix: str = "",
        metrics: Mapping[str, Metric] = METRICS,
        length_of: Callable[[Mapping[str, Any]], float] | None = None,
    ) -> None:
        super().__init__()
        self._axes = Axes.of(objectives, constraints or {})
        if not isinstance(max_t, int) or max_t < 1 or not 0 <= probe_margin < 1:
            got = f"{max_t!r}, {probe_margin!r}"
            raise ConfigError([f"max_t is a whole number from 1 on, and probe_margin from 0 to below 1; got {got}"])
        if halving is not None and not isinstance(halving, HalvingConfig):
            raise ConfigError([f"halving must be a HalvingConfig, as HalvingConfig(grace_period=2); got {halving!r}"])
        self._max_t, self._time_attr, self._prefix, self._length_of = max_t, time_attr, prefix, length_of
        self._pruner = ParetoPruner(self._axes, max_t, halving=halving, metrics=metrics, margin=probe_margin)
        self._ids: dict[str, str] = {}
        """Trial name -> Ray's id, which differs in a new run of the same name."""
        self._file: _StateFile | None = None

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Trial -> why it was stopped."""
        return self._pruner.decisions

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:  # noqa: ANN401
        """Raise ConfigError where `TuneConfig` has a metric or a mode."""
        if metric or mode:
            raise ConfigError(
                [
                    f"TuneConfig has metric={metric!r} and mode={mode!r}, which stand for one objective; leave both "
                    f"out with a ParetoScheduler, which has its own: {', '.join(self._axes.objectives)}"
                ]
            )
        done: bool = super().set_search_properties(metric, mode, **spec)
        return done

    def reason_of(self, trial_name: str) -> str | None:
        """Return why a trial was stopped, in words; None for one that was not."""
        decision = self.decisions.get(trial_name)
        name_of_time = "iteration" if self._time_attr == "training_iteration" else self._time_attr
        return None if decision is None else decision.in_words(name_of_time)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Register a trial; the first of a restored run restores the state.

        Raises:
            ConfigError: another trial has its name, or the state is of a scheduler with other arguments.
            JournalError: the state cannot be read.
        """
        self._open(trial)
        name = str(trial)
        known = self._ids.get(name)
        if known == trial.trial_id:
            return
        if known in {other.trial_id for other in tune_controller.get_trials()}:
            raise ConfigError([f"two trials are named {name}: `trial_name_creator` must give each its own name"])
        if known is not None:  # Ray's snapshot is older than this state: it starts the trial again.
            self._pruner.forget(name)
        self._ids[name] = trial.trial_id
        self._write()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Prune a trial by its result.

        Raises:
            ConfigError: the result has none of the metrics, or not the time.
        """
        name, proceed, stop = str(trial), str(self.CONTINUE), str(self.STOP)
        if name in self.decisions:
            return stop
        values = self._axes.values_in(result, self._prefix)
        if not values or self._time_attr not in result:
            raise ConfigError([self._what_lacks(name, result)])
        time = float(result[self._time_attr])
        if self._length_of is not None and time >= self._length_of(trial.config):
            return proceed
        if time >= self._max_t:
            return stop
        decision = self._pruner.prune(name, time, values)
        self._write_news()
        return proceed if decision is None else stop

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ANN401
        """Take the last result of a trial, for comparison with others."""
        if result.get(self._time_attr) is None:
            return
        time = float(result[self._time_attr])
        finished = bool(result.get("done")) or time >= self._max_t
        self._pruner.end(str(trial), time, self._axes.values_in(result, self._prefix), finished=finished)
        self._write_news()

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Drop the results of a failed trial."""
        self._pruner.forget(str(trial))
        self._write_news()

    def debug_string(self) -> str:
        """Return a line for Ray's own progress display."""
        stopped = f"{len(self.decisions)} of {len(self._ids)} trials stopped"
        return f"ParetoScheduler: {stopped}; results at rungs: {self._pruner.results_in_words()}"

    def save(self, checkpoint_path: str) -> None:
        """Write the state to a file."""
        put_file(Path(checkpoint_path), lambda path: path.write_bytes(_state_text(self._state())))

    def restore(self, checkpoint_path: str) -> None:
        """Restore a file of `save`.

        Raises:
            ConfigError: it is of a scheduler with other arguments.
            JournalError: it is not a scheduler's state.
        """
        self._restore_state(_parse_state(Path(checkpoint_path).read_bytes(), checkpoint_path), checkpoint_path)

    def _open(self, trial: Trial) -> None:
        """Find the state file; restore it if it has this trial, as in a restored run only."""
        if trial.storage is None:
            return
        file = _StateFile(trial.storage.storage_filesystem, trial.storage.experiment_fs_path)
        if self._file is not None and self._file.path == file.path:
            return
        self._file = file
        state = file.read()
        if state is not None and trial.trial_id in state["trials"].values():
            self._restore_state(state, file.path)

    def _write_news(self) -> None:
        if self._pruner.has_news:
            self._write()

    def _write(self) -> None:
        if self._file is not None:
            self._file.write(_state_text(self._state()))
        self._pruner.has_news = False

    def _state(self) -> dict[str, Any]:
        return {"version": STATE_VERSION, "trials": self._ids, "rule": self._pruner.to_json()}

    def _restore_state(self, state: Mapping[str, Any], where: str) -> None:
        try:
            self._pruner.restore_json(state["rule"], where)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise JournalError(f"{where}: the state of a scheduler is damaged: {error!r}. {_REMEDY}") from error
        self._ids = dict(state["trials"])

    def _what_lacks(self, name: str, result: Mapping[str, Any]) -> str:
        own = ", ".join(key for key in result if key not in _OF_RAY and not key.startswith("config/"))
        if self._time_attr not in result:
            return f"trial {name} reported no {self._time_attr}, the `time_attr`; it has {own or 'nothing of its own'}"
        wanted = ", ".join(self._prefix + metric for metric in self._axes.names)
        return (
            f"trial {name} reported none of {wanted}; it has {own or 'nothing of its own'}. Name the objectives as the "
            "trial reports them, nested ones with a slash"
        )


class _StateFile:
    """The state as JSON in an experiment's folder, replaced atomically; `Tuner.restore` does not restore schedulers."""

    def __init__(self, filesystem: FileSystem, folder: str) -> None:
        self._filesystem = filesystem
        self.path = f"{folder.rstrip('/')}/{STATE_NAME}"
        self._failed = False

    def read(self) -> dict[str, Any] | None:
        """Return the state, or None where there is no file.

        Raises:
            JournalError: it cannot be read.
        """
        if self._filesystem.get_file_info(self.path).type == FileType.NotFound:
            return None
        try:
            with self._filesystem.open_input_stream(self.path) as file:
                return _parse_state(file.readall(), self.path)
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be read: {error}") from error

    def write(self, text: bytes) -> None:
        """Replace the state; a failure is a warning, as the run can continue."""
        try:
            with self._filesystem.open_output_stream(f"{self.path}.new") as file:
                file.write(text)
            self._filesystem.move(f"{self.path}.new", self.path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                _log.warning("%s: the scheduler's state cannot be written, nor restored later: %s", self.path, error)
            self._failed = True


def _state_text(state: Mapping[str, Any]) -> bytes:
    return json.dumps(state, separators=(",", ":")).encode()


def _parse_state(text: bytes, where: str) -> dict[str, Any]:
    """Return the state that a file holds.

    Raises:
        JournalError: it is not a state of this version.
    """
    try:
        state = json.loads(text)
    except ValueError as error:
        raise JournalError(f"{where}: not the state of a scheduler: {error}. {_REMEDY}") from error
    version = state.get("version") if isinstance(state, dict) else None
    if version != STATE_VERSION:
        raise JournalError(f"{where}: has version {version!r} of a scheduler's state, not {STATE_VERSION}. {_REMEDY}")
    if not isinstance(state.get("trials"), dict) or not isinstance(state.get("rule"), dict):
        raise JournalError(f"{where}: the state of a scheduler lacks its trials or its rule. {_REMEDY}")
    return dict(state)
