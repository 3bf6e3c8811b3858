"""The search space: what is fixed, what is searched and for what, and every config it allows."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from mtbert_ray.config import ProbeConfig, ResourceConfig, TrialConfig, nest
from mtbert_ray.config.sections import HalvingConfig, ReportConfig
from mtbert_ray.config.trial import absolute_paths_of
from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import MAX_OBJECTIVES, Objective
from mtbert_ray.mistakes import problems_of
from mtbert_ray.schema import MAX_PROCESSES, MAX_REPEATS, MAX_STEPS, PlainName, Schema
from mtbert_ray.study.space.conditions import applies, in_dependency_order
from mtbert_ray.study.space.experiments import EXPERIMENT, chosen_names, tasks_of
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange, Parameter, RandomSuggest, Suggest
from mtbert_ray.tasks import TaskSpec

MAX_GRID = 10_000
"""Configs of the largest grid; more are better drawn than listed."""
MAX_MINUTES = 1e8
"""Of a sweep: 190 years."""
_MAX_EXAMPLES = 1000
_NUM_DRAWN_EXAMPLES = 200


class SweepResources(ResourceConfig):
    """What one trial holds while it runs, and how many run at once."""

    concurrent_trials: Annotated[int, Field(ge=1, le=MAX_PROCESSES)] | Literal["auto"] = "auto"
    """`auto`: as many as the cluster has room for."""


class SearchSpace(Schema):
    """A sweep as its YAML asks for it. `load_search_space` makes one and checks what lies between the fields."""

    name: PlainName
    """Names the folder of the sweep, so letters, digits, `_`, `.` and `-`."""
    question: str | None = None
    """What the sweep is to answer, in one line; shown in the report."""
    paper_table: int | None = Field(default=None, ge=1, le=9)
    """Table of the paper whose configs these are; the report shows its figures next to ours, by experiment."""
    objectives: dict[str, Objective] = Field(max_length=MAX_OBJECTIVES)
    """Metric name -> objective, in the order of the axes."""
    fixed: dict[str, Any] = Field(default={})
    """Dotted TrialConfig key -> the value of every trial."""
    experiments: dict[str, dict[str, Any]] = Field(default={})
    """Named configs: name -> dotted TrialConfig key -> its value, in place of a fixed one. `search` has their choice
    as the key `experiment`, or `fixed` one of them."""
    search: dict[str, Parameter] = Field(default={})
    """Dotted TrialConfig key -> what it can be."""
    algorithm: Literal["random", "grid", "tpe", "nsga2", "gp", "front"] = "front"
    """How the next config is chosen."""
    scheduler: Literal["fifo", "pareto"] = "pareto"
    """How trials are stopped early: `pareto` by their rank among those that got as far, and by what they would cost;
    `fifo` lets each run to its end."""
    halving: HalvingConfig = HalvingConfig()
    """How `pareto` ranks. Its `seed` is added to the sweep's; without `grace_period` no trial is stopped at
    a rung while its learning rate warms up."""
    probe: ProbeConfig = ProbeConfig()
    """When the cost of a whole trial is projected, for `pareto`."""
    report: ReportConfig = ReportConfig()
    """What the report recommends, and what it marks."""
    points_to_evaluate: tuple[dict[str, Any], ...] = ()
    """Configs to try first: dotted searched key -> value; keys that are left out are drawn."""
    warm_start_from: tuple[str, ...] = ()
    """Folders of earlier sweeps whose trials the algorithm learns from before it suggests anything."""
    trials: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    """How many configs to try; none for a time budget alone, or for the whole grid."""
    repeats: int = Field(default=0, ge=0, le=MAX_REPEATS)
    """Further seeds of each trial on the front, once all others have ended: what of a lead is chance. Their seeds are
    that of the trial plus 1, 2 and so on; of limited training rows each seed draws its own."""
    time_budget_minutes: float | None = Field(default=None, gt=0, le=MAX_MINUTES)
    """The sweep ends after this; trials that still run are stopped, and count as such."""
    retries: int = Field(default=3, ge=0, le=MAX_STEPS)
    """How often a trial that died starts again within a session: killed, evicted, its node lost. Its config is not to
    blame, so the algorithm gets no feedback."""
    checkpoint_minutes: float | None = Field(default=10, gt=0, le=MAX_MINUTES)
    """Between two states of a trial within an epoch, from which it continues when it is interrupted; after each epoch
    its state is saved anyway. None saves it after epochs only."""
    hang_minutes: float | None = Field(default=None, gt=0, le=MAX_MINUTES)
    """A trial that hangs so long, without a step or a sign of life, is ended and starts again; none only names it."""
    keep_checkpoints: Literal["all", "front", "best"] = "all"
    """Which trials keep their checkpoint: all of them; those on the front, so that one is deleted as soon as its trial
    ended off the front or is dominated by another; or the one on the front that is the best in the first objective."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """The searcher's, and every trial's unless `seed` is fixed or searched."""
    resources: SweepResources = SweepResources()

    def trial_config(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the whole configuration of a trial: these searched values over what is settled, seed and resources.

        Raises:
            ConfigError: the values don't make a TrialConfig, as values of another search space.
        """
        try:
            return self.build(values)
        except ValidationError as error:
            where = f"{self.name}: a trial with {dict(values)}"
            raise ConfigError(problems_of(error, where, TrialConfig, self._content(values))) from error

    def build(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return the same with pydantic's own ValidationError."""
        return TrialConfig.model_validate(self._content(values)).with_absolute_paths()

    def _content(self, values: Mapping[str, Any]) -> dict[str, Any]:
        resources = self.resources.model_dump(exclude={"concurrent_trials"})
        return nest({"seed": self.seed, **self._known(values), "resources": resources})

    def _known(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return these searched values over the keys of their experiment, over what is fixed."""
        name = values.get(EXPERIMENT, self.fixed.get(EXPERIMENT))
        return {**self.fixed, **(self.experiments[name] if name is not None else {}), **values}

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The searched keys, dotted, in the order of the YAML."""
        return tuple(self.search)

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks of every trial."""
        return tasks_of(self.fixed)

    @property
    def is_finite(self) -> bool:
        """Whether the number of different configs is finite."""
        return not any(isinstance(parameter, FloatRange) for parameter in self.search.values())

    @property
    def num_trials(self) -> int | None:
        """Trials planned: `trials`, but never more than there are different configs; none if time alone decides."""
        is_counted = self.algorithm == "grid" or (self.trials is not None and self.is_finite)
        return sum(1 for _ in islice(self.grid(), self.trials)) if is_counted else self.trials

    @property
    def time_budget_seconds(self) -> float | None:
        """The time budget in Ray's unit; none without one."""
        return None if self.time_budget_minutes is None else 60 * self.time_budget_minutes

    @property
    def concurrent_trials(self) -> int | Literal["auto"]:
        """How many trials run at once."""
        return self.resources.concurrent_trials

    @property
    def experiment_names(self) -> tuple[str, ...]:
        """The experiments that trials can have, in the order of the grid; none in a space without any."""
        return chosen_names(self.search, self.fixed)

    @property
    def max_epochs(self) -> int:
        """The epochs of the longest trial that there can be."""
        settled = [self.fixed, *(self.experiments[name] for name in self.experiment_names)]
        lengths = [int(keys["epochs"]) for keys in settled if "epochs" in keys]
        match self.search.get("epochs"):
            case Choice(values=values):
                lengths += [int(value) for value in values]
            case IntRange(high=high):
                lengths.append(high)
        return max(lengths, default=TrialConfig.model_fields["epochs"].default)

    @property
    def halving_in_use(self) -> HalvingConfig:
        """`halving` with the sweep's seed, and a first rung behind the warm-up unless `grace_period` is given.

        While the learning rate still rises, scores predict little (docs/scheduling.md); the longest warm-up counts.
        """
        from mtbert_ray.study.pruning.rungs import default_grace  # It needs numpy, which reading a space does not.

        grace_period = self.halving.grace_period
        if grace_period is None:
            fraction = max(config.warmup_fraction for config in self.example_configs())
            warm_up = math.floor(fraction * self.max_epochs)
            grace_period = min(max(default_grace(self.max_epochs), 1 + warm_up), max(1, self.max_epochs - 1))
        return self.halving.model_copy(update={"grace_period": grace_period, "seed": self.seed + self.halving.seed})

    def with_absolute_paths(self) -> Self:
        """Return the same with absolute paths of local files and folders, so that it can be read back elsewhere."""
        search: dict[str, Parameter] = {}
        for key, parameter in self.search.items():
            when = {other: _absolute(other, allowed) for other, allowed in parameter.when.items()}
            values = {"values": _absolute(key, parameter.values)} if isinstance(parameter, Choice) else {}
            search[key] = parameter.model_copy(update={"when": when, **values})
        return self.model_copy(
            update={
                "fixed": absolute_paths_of(self.fixed),
                "experiments": {name: absolute_paths_of(keys) for name, keys in self.experiments.items()},
                "search": search,
                "points_to_evaluate": tuple(map(absolute_paths_of, self.points_to_evaluate)),
            }
        )

    def with_resources(self, resources: ResourceConfig) -> Self:
        """Return the same space with other resources of a trial, as resolved for a cluster."""
        concurrent = {"concurrent_trials": self.concurrent_trials}
        return self.model_copy(update={"resources": SweepResources(**{**dict(resources), **concurrent})})

    def examples(self) -> list[dict[str, Any]]:
        """Return every config of a small space, or a seeded random sample of a large one, with every experiment."""
        if self.is_finite:
            configs = list(islice(self.grid(), _MAX_EXAMPLES + 1))
            if len(configs) <= _MAX_EXAMPLES:
                return configs
        suggest = RandomSuggest.seeded(self.seed)
        drawn = [self.sample(suggest) for _ in range(_NUM_DRAWN_EXAMPLES)]
        return drawn + [self.sample(suggest, experiment=name) for name in self._searched_experiments]

    def example_configs(self) -> list[TrialConfig]:
        """Return the configurations of `examples`."""
        return [self.trial_config(values) for values in self.examples()]

    def one_config_each(self) -> dict[str | None, TrialConfig]:
        """Return a configuration of each experiment, for what all trials of it share; one under None without any."""
        suggest = RandomSuggest.seeded(self.seed)
        if not self._searched_experiments:
            return {self.fixed.get(EXPERIMENT): self.trial_config(self.sample(suggest))}
        names = self._searched_experiments
        return {name: self.trial_config(self.sample(suggest, experiment=name)) for name in names}

    def any_config(self) -> TrialConfig:
        """Return one configuration, for what all of them share."""
        return next(iter(self.one_config_each().values()))

    @property
    def _searched_experiments(self) -> tuple[str, ...]:
        return self.experiment_names if EXPERIMENT in self.search else ()

    def sample(self, suggest: Suggest, *, experiment: str | None = None) -> dict[str, Any]:
        """Return one config: dotted key -> value, for the searched keys whose conditions hold.

        Keys are asked for in dependency order, so that a condition sees the value it depends on.

        Args:
            suggest: where values come from.
            experiment: one of the searched experiments, in place of a drawn one.
        """
        values: dict[str, Any] = {} if experiment is None else {EXPERIMENT: experiment}
        for key in in_dependency_order(self.search):
            if key not in values and applies(self.search[key], self._known(values)):
                values[key] = self.search[key].draw(key, suggest)
        return self._in_yaml_order(values)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every config once, the last searched key changing fastest.

        Raises:
            ValueError: a parameter is drawn from a continuous range.
        """
        if not self.is_finite:
            raise ValueError("a continuous range has no grid")
        yield from self._grid_below(in_dependency_order(self.search), {})

    def _grid_below(self, keys: Sequence[str], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not keys:
            yield self._in_yaml_order(values)
            return
        key, *later = keys
        parameter = self.search[key]
        if not applies(parameter, self._known(values)):
            yield from self._grid_below(later, values)
            return
        listed = parameter.listed()
        assert listed is not None, "grid() refuses ranges"
        for value in listed:
            yield from self._grid_below(later, {**values, key: value})

    def _in_yaml_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values[key] for key in self.search if key in values}


def config_key(values: Mapping[str, Any]) -> str:
    """Return a text that two configs share only when they are the same."""
    return json.dumps(values, sort_keys=True, default=str)


def _absolute(key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(absolute_paths_of({key: value})[key] for value in values)
