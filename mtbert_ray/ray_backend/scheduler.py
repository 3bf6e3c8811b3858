"""A Ray Tune scheduler for several objectives: stops trials by their Pareto rank at rungs, or for what they will cost.

For any Ray Tune script, as for this project's sweeps: of a trial it needs named numbers only. Decides nothing itself,
which is `rule.py`'s. Imports neither torch nor transformers.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler

from mtbert_ray.errors import ConfigError
from mtbert_ray.files import put_file
from mtbert_ray.metrics import METRICS, Metric, Metrics, Objective
from mtbert_ray.ray_backend.scheduler_state import STATE_VERSION, StateFile, parse_state, state_text
from mtbert_ray.study.pruning.axes import Axes, Goal
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.pruning.pareto_pruner import ParetoPruner
from mtbert_ray.study.pruning.rungs import HalvingConfig

_OF_RAY = frozenset(AUTO_RESULT_KEYS) | {"trial_id", "done", "experiment_tag", "should_checkpoint"}


class ParetoScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Stops the trials of which several objectives, taken together, give no hope.

    Leave `metric` and `mode` of `TuneConfig` unset: the objectives are named here. A result may hold some of the
    metrics only, as the costs that a trial knows before its first score; they are kept until the others come.

    The state is kept in the experiment's folder, so that after `Tuner.restore` it decides as if nothing had happened.
    This project's own sweeps do not need it: they resume from their journal, by `tell`.

    Args:
        objectives: metric -> `max` or `min`, or an `Objective` with a reference, a constraint, the best attainable.
        max_t: what a full run takes, in `time_attr`. Rungs lie below it, and a trial that comes to it is ended.
        time_attr: the entry of a result that tells how far the trial is.
        halving: the rule; see HalvingConfig.
        constraints: metric -> bound, for objectives given as `max` or `min`; a metric that is no objective must not be
            greater.
        probe_margin: a projected cost ends a trial only if it is beyond a bound by this share.
        prefix: stands before the metrics' names in a result, as `eval/`.
        metrics: what is known of metrics by name: which are costs, and the best that a score can be.
        length_of: for trials that end by themselves, how far one goes by its config, at most `max_t`. None of them is
            ended by `max_t`, nor judged by its last result.

    Raises:
        ConfigError: an argument is wrong; all that are wrong are told at once.
    """

    # With results in a buffer a trial would go on for some while after its stop.
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
        """Trial -> Ray's id of it, which is another in a new run under the same name."""
        self._file: StateFile | None = None

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """Trial -> why it was stopped; always the same mapping, which grows."""
        return self._pruner.decisions

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:  # noqa: ANN401
        """Refuse a single metric.

        Raises:
            ConfigError: `TuneConfig` has a metric or a mode.
        """
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
        """Take note of a trial, and before the first of a restored run of all that was known.

        Raises:
            ConfigError: another trial has its name, or the state is of a scheduler with other arguments.
            JournalError: there is a state that cannot be read.
        """
        self._open(trial)
        name = str(trial)
        known = self._ids.get(name)
        if known == trial.trial_id:
            return
        if known in {other.trial_id for other in tune_controller.get_trials()}:
            raise ConfigError([f"two trials are named {name}: `trial_name_creator` must give each its own name"])
        if known is not None:  # Ray's snapshot was older than ours: what it had suggested since came to nothing.
            self._pruner.forget(name)
        self._ids[name] = trial.trial_id
        self._write()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Judge a trial by what it has told.

        Raises:
            ConfigError: the result has none of the metrics, or not the time.
        """
        name, go_on, stop = str(trial), str(self.CONTINUE), str(self.STOP)
        if name in self.decisions:
            return stop
        values = self._axes.values_in(result, self._prefix)
        if not values or self._time_attr not in result:
            raise ConfigError([self._what_lacks(name, result)])
        time = float(result[self._time_attr])
        if self._length_of is not None and time >= self._length_of(trial.config):
            return go_on
        if time >= self._max_t:
            return stop
        decision = self._pruner.prune(name, time, values)
        self._write_news()
        return go_on if decision is None else stop

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: ANN401
        """Take the result of a trial that ran to its end; others are compared with it."""
        if result.get(self._time_attr) is None:
            return  # It ended without a word of how far it was.
        time = float(result[self._time_attr])
        finished = bool(result.get("done")) or time >= self._max_t
        self._pruner.end(str(trial), time, self._axes.values_in(result, self._prefix), finished=finished)
        self._write_news()

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401
        """Take back what a trial that failed has told: others must not be compared with it."""
        self._pruner.forget(str(trial))
        self._write_news()

    def tell(self, trial_name: str, resource: float, metrics: Metrics, *, last: bool = False) -> None:
        """Take a result that is known from elsewhere: others are compared with it, and nothing is decided.

        Args:
            trial_name: of a trial that has ended.
            resource: how far it was, in `time_attr`.
            metrics: without a prefix.
            last: whether it ended there by itself.
        """
        self._pruner.end(trial_name, resource, self._axes.values_in(metrics), finished=last)

    def debug_string(self) -> str:
        """Return a line for Ray's own progress display."""
        stopped = f"{len(self.decisions)} of {len(self._ids)} trials stopped"
        return f"ParetoScheduler: {stopped}; results at rungs: {self._pruner.results_in_words()}"

    def save(self, checkpoint_path: str) -> None:
        """Write everything that decides to a file."""
        put_file(Path(checkpoint_path), lambda path: path.write_bytes(state_text(self._state())))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file of `save`.

        Raises:
            ConfigError: it is of a scheduler with other arguments.
            JournalError: it is not a scheduler's state.
        """
        self._go_on_from(parse_state(Path(checkpoint_path).read_bytes(), checkpoint_path), checkpoint_path)

    def _open(self, trial: Trial) -> None:
        """Find the state file; take what is in it if it tells of this trial, as in a restored run only."""
        if trial.storage is None:
            return
        file = StateFile(trial.storage.storage_filesystem, trial.storage.experiment_fs_path)
        if self._file is not None and self._file.path == file.path:
            return
        self._file = file
        state = file.read()
        if state is not None and trial.trial_id in state["trials"].values():
            self._go_on_from(state, file.path)

    def _write_news(self) -> None:
        if self._pruner.has_news:
            self._write()

    def _write(self) -> None:
        if self._file is not None:
            self._file.write(state_text(self._state()))
        self._pruner.has_news = False

    def _state(self) -> dict[str, Any]:
        return {"version": STATE_VERSION, "trials": self._ids, "rule": self._pruner.to_json()}

    def _go_on_from(self, state: Mapping[str, Any], where: str) -> None:
        self._pruner.restore_json(state["rule"], where)
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
