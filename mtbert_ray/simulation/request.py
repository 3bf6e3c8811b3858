"""Checks the command line of `replay` and turns it into problems and setups."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mtbert_ray.config import ProbeConfig
from mtbert_ray.config.keys import check_section
from mtbert_ray.config.yaml_lines import read_assignments
from mtbert_ray.deprecated import current_key
from mtbert_ray.errors import ConfigError, Problems, did_you_mean
from mtbert_ray.metrics import Objectives
from mtbert_ray.simulation.compare import Problem, Run, Setup, compare
from mtbert_ray.simulation.lcbench import NUM_EPOCHS, OBJECTIVES, Benchmark
from mtbert_ray.simulation.pruners import Costs, pruners_of
from mtbert_ray.simulation.recorded import Recorded, read_recorded
from mtbert_ray.simulation.recorded_search import RECORDED, SUGGESTING, recorded_problem
from mtbert_ray.study.pruning.rungs import HalvingConfig, rung_levels
from mtbert_ray.study.space import SearchSpace

DEFAULT_RULES = ("fifo", "pareto")
OUTPUTS = (".csv", ".json")
_BENCHMARK_BUDGETS = (10.0, 25.0, 50.0, 100.0)
_BENCHMARK_SEARCHER = "front"
_RECORDED_SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """The command line of `replay`."""

    journals: tuple[Path, ...] = ()
    rules: tuple[str, ...] = ()
    searchers: tuple[str, ...] = ()
    workers: tuple[int, ...] = ()
    seeds: int
    overrides: tuple[str, ...] = ()
    """`KEY=VALUE` texts over the `HalvingConfig` of `pareto`."""
    benchmark: Path | None = None
    """The folder that holds `lcbench/`, in place of journals."""
    tasks: tuple[str, ...] = ()
    """Of the benchmark; all by default."""
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A checked comparison."""

    problems: tuple[Problem, ...]
    setups: tuple[Setup, ...]
    seeds: int
    budgets: tuple[float, ...]
    """In mean full runs."""
    recorded: Recorded | None
    """None on the benchmark."""

    def run(self, on_run: Callable[[], None]) -> list[Run]:
        """Simulate; `on_run` is called after each sweep."""
        # The benchmark has no last trial.
        limit = math.inf if self.recorded is not None else self.budgets[-1]
        return compare(self.problems, self.setups, seeds=self.seeds, budget=limit, on_run=on_run)


def prepare(request: ReplayRequest) -> Replay:
    """Check a request, with a warning of options without effect.

    Raises:
        ConfigError: options are wrong.
        JournalError: a journal cannot be replayed.
        DataError: the benchmark's files are missing, or onnxruntime is not installed.
    """
    halving = _checked(request)
    if request.benchmark is not None:
        setups = _setups(request, OBJECTIVES, halving, searchers=SUGGESTING)
        return Replay(
            problems=_benchmark_problems(request.benchmark, request.tasks, setups),
            setups=setups,
            seeds=request.seeds,
            budgets=_BENCHMARK_BUDGETS,
            recorded=None,
        )
    recorded = read_recorded(request.journals)
    probe = ProbeConfig()
    if recorded.pruned_as is not None:
        # The sweep's own pruner, with --set on top and the seed of the run.
        changed = {name: getattr(halving, name) for name in halving.model_fields_set}
        space = recorded.pruned_as
        asked = space.model_copy(update={"halving": space.halving.model_copy(update=changed), "seed": 0})
        halving, probe = asked.halving_in_use, asked.probe
    costs = Costs(metrics=recorded.metrics, margin=probe.margin)
    searchers = (RECORDED, *SUGGESTING)
    setups = _setups(request, recorded.objectives, halving, searchers=searchers, space=recorded.space, costs=costs)
    return Replay(
        problems=(recorded_problem(recorded),),
        setups=setups,
        seeds=request.seeds,
        budgets=tuple(share * len(recorded.trials) for share in _RECORDED_SHARES),
        recorded=recorded,
    )


def _checked(request: ReplayRequest) -> HalvingConfig:
    """Check the options that need no file, and return the halving of `pareto`."""
    mistakes = []
    if request.benchmark is None and not request.journals:
        mistakes.append("nothing to replay: give the folder of a sweep, as reports/NAME, or --lcbench DIR")
    if request.benchmark is not None and request.journals:
        mistakes.append("give folders of sweeps or --lcbench DIR, not both: their hypervolumes do not compare")
    if request.output is not None:
        if request.output.suffix not in OUTPUTS:
            mistakes.append(f"--output {request.output}: must end in {' or '.join(OUTPUTS)}")
        if not request.output.parent.is_dir():
            mistakes.append(f"--output {request.output}: there is no folder {request.output.parent}")
    halving, more = _halving(request.overrides)
    if mistakes or more:
        raise ConfigError([*mistakes, *more])
    if request.overrides and "pareto" not in (request.rules or DEFAULT_RULES):
        warnings.warn("--set has no effect: it changes the rule pareto, which is not among --rule", stacklevel=1)
    if request.tasks and request.benchmark is None:
        warnings.warn("--task has no effect without --lcbench", stacklevel=1)
    return halving


def _halving(overrides: Sequence[str]) -> tuple[HalvingConfig, list[str]]:
    """Return the defaults with these `KEY=VALUE` texts on top, and what is wrong with them."""
    problems = Problems("--set")
    values: dict[str, object] = {}
    for option, key, value in read_assignments(overrides, problems):
        values[current_key(("halving",), key)] = value
        problems.place_on_command_line((current_key(("halving",), key),), option)
    halving = check_section(values, HalvingConfig, (), problems)
    return halving or HalvingConfig(), list(problems.found)


def _setups(
    request: ReplayRequest,
    objectives: Objectives,
    halving: HalvingConfig,
    *,
    searchers: Sequence[str],
    space: SearchSpace | str | None = None,
    costs: Costs | None = None,
) -> tuple[Setup, ...]:
    """Return every combination of the request, or raise ConfigError.

    `space` is that of journals, or why there is none; `costs` are those of `pareto`.
    """
    known = pruners_of(objectives, halving, costs)
    rules = dict.fromkeys(request.rules or DEFAULT_RULES)
    chosen = dict.fromkeys(request.searchers or (RECORDED if RECORDED in searchers else _BENCHMARK_SEARCHER,))
    mistakes = [
        f"--{option} {name}: there is no such {option}{did_you_mean(name, allowed)} ({', '.join(allowed)})"
        for option, names, allowed in (("rule", rules, known), ("searcher", chosen, searchers))
        for name in names
        if name not in allowed
    ]
    asking = [name for name in chosen if name in SUGGESTING]
    if asking and isinstance(space, str):
        mistakes.append(f"--searcher {asking[0]}: there is nothing to ask it for: {space}. Use --searcher {RECORDED}")
    if mistakes:
        raise ConfigError(mistakes)
    combinations = product(dict.fromkeys(request.workers or (1,)), chosen, rules)
    return tuple(Setup(pruner=known[rule], searcher=name, workers=workers) for workers, name, rule in combinations)


def _benchmark_problems(folder: Path, names: Sequence[str], setups: Sequence[Setup]) -> tuple[Problem, ...]:
    benchmark = Benchmark(folder)
    # The rungs of the published pruners are always included, so that a searcher's feedback does not depend on which
    # pruners are compared.
    levels = {level for setup in setups for level in setup.pruner.levels(NUM_EPOCHS)}
    epochs = sorted({*levels, *rung_levels(1, 3.0, NUM_EPOCHS), NUM_EPOCHS})
    chosen = list(dict.fromkeys(names or benchmark.names))
    benchmark.check_names(chosen)
    return tuple(
        Problem(name=name, mean_seconds=task.mean_seconds, max_epochs=NUM_EPOCHS, start=task.start, volume=task.volume)
        for name in chosen
        for task in [benchmark.task(name, epochs)]
    )
