"""What a sweep starts from: nothing, or what an earlier session left when it was killed, interrupted or out of time.

The journal is the truth: searcher and scheduler are told again what it tells, and trials that were cut off run again
from their start under the same name. Ray's own snapshots are not needed.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.events import SweepResumed, SweepStarted
from mtbert_ray.journal import Journal, read_journal, writing_alone
from mtbert_ray.metrics import Objectives, known_metrics
from mtbert_ray.ray_backend.for_ray import FirstTrial, next_number, trial_name
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.ray_backend.scheduler import ParetoScheduler
from mtbert_ray.study.provenance import git_revision, hardware, package_versions
from mtbert_ray.study.remaining import num_to_run, num_untried, was_cut_off
from mtbert_ray.study.search import SEARCHERS, Searcher
from mtbert_ray.study.search.points_to_evaluate import points_to_evaluate
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.model import config_key
from mtbert_ray.study.warm_start import warm_start
from mtbert_ray.trial import Sweep, Trial, projection

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Everything that decides how a sweep goes on, and where it is written down."""

    journal: Journal
    searcher: Searcher
    scheduler: ParetoScheduler | None
    """None lets every trial run to its end."""
    first: tuple[FirstTrial, ...] = ()
    """Trials to run before the searcher is asked."""
    ended: tuple[Trial, ...] = ()
    """Trials of an earlier session that need not run again."""
    num_known: int = 0
    """Trials that have a name, those of `first` among them."""
    next_number: int = 0
    """Of the first trial without a name: behind all names, which may have gaps, since starts are not told in order."""
    num_trials: int | None = None
    """What the sweep comes to, those of `ended` among them; none if time alone decides."""


@contextmanager
def begin(plan: Plan, folder: Path, *, space_file: Path) -> Iterator[Beginning]:
    """Give the beginning of a new sweep, written down in an empty folder, which is kept from others meanwhile.

    Raises:
        ConfigError: the sweeps of `warm_start_from` have tried everything there is.
        JournalError: the folder is not empty or cannot be written, or a journal of `warm_start_from` cannot be read.
    """
    searcher = SEARCHERS[plan.space.algorithm](plan.space)
    num_trials, notes = _num_planned(plan)
    notes = [*plan.notes, *_learn(searcher, plan), *notes]
    first = _first_trials(searcher, plan.space, known=())
    # Last, so that nothing but a full disk can leave a journal without its first event.
    journal = Journal(folder)
    with writing_alone(folder):
        journal.append(_started(plan, notes))
        try:
            shutil.copyfile(space_file, folder / "space.yaml")
        except OSError as error:
            _log.warning("%s: no copy of the search space, which the journal holds too: %s", folder, error)
        yield Beginning(
            journal=journal,
            searcher=searcher,
            scheduler=scheduler_of(plan.space, plan.objectives),
            first=first,
            num_known=len(first),
            next_number=next_number(one.trial_id for one in first),
            num_trials=num_trials,
        )


@contextmanager
def resume(plan: Plan, folder: Path) -> Iterator[Beginning]:
    """Give the beginning of another session of a sweep, which is kept from others meanwhile.

    Args:
        plan: of the journal's own search space, perhaps with more trials.
        folder: the sweep's.

    Raises:
        JournalError: another process writes it, or it cannot be read.
    """
    with writing_alone(folder):
        journal = Journal.reopen(folder)
        beginning = _resumed(plan, read_journal(folder), journal)
        journal.append(
            SweepResumed(
                num_trials=plan.space.num_trials,
                versions=package_versions(),
                git_revision=git_revision(),
                hardware=hardware(plan.capacity.description),
            )
        )
        yield beginning


def _resumed(plan: Plan, sweep: Sweep, journal: Journal) -> Beginning:
    """Return what an earlier session left."""
    ended = tuple(trial for trial in sweep.trials if not was_cut_off(trial))
    # What an earlier session drew must not be drawn again; a grid has no draws but which settings it has.
    drawn = 0 if plan.space.algorithm == "grid" else len(sweep.trials)
    space = plan.space.model_copy(update={"seed": (plan.space.seed + drawn) % 2**32})
    searcher = SEARCHERS[space.algorithm](space)
    _learn(searcher, plan, again=True)
    warm_start(searcher, space, _only(sweep, ended), plan.objectives)
    again = tuple(
        FirstTrial(trial_id=trial.trial_id, key=searcher.open(trial.hyperparameters), values=trial.hyperparameters)
        for trial in sweep.trials
        if was_cut_off(trial)
    )
    still_to_start = _first_trials(searcher, plan.space, known=sweep.trials)
    scheduler = scheduler_of(plan.space, plan.objectives)
    if scheduler is not None:
        _replay(scheduler, ended)
    num_left = num_to_run(sweep, plan.space)
    names = [*(trial.trial_id for trial in sweep.trials), *(one.trial_id for one in still_to_start)]
    return Beginning(
        journal=journal,
        searcher=searcher,
        scheduler=scheduler,
        first=(*again, *still_to_start),
        ended=ended,
        num_known=len(names),
        next_number=next_number(names),
        num_trials=None if num_left is None else len(ended) + num_left,
    )


def scheduler_of(space: SearchSpace, objectives: Objectives) -> ParetoScheduler | None:
    """Return the scheduler that a search space asks for; none for `fifo`."""
    if space.scheduler == "fifo":
        return None
    return ParetoScheduler(
        objectives,
        max_t=space.max_epochs,
        time_attr="epoch",
        prefix="projection/",
        halving=space.halving_in_use,
        probe_margin=space.probe.margin,
        metrics=known_metrics(space.tasks),
        length_of=_epochs_of,
    )


def _epochs_of(config: Mapping[str, Any]) -> float:
    """Return how far a trial goes by what Tune was given for it."""
    return float(config["trial"]["epochs"])


def _learn(searcher: Searcher, plan: Plan, *, again: bool = False) -> list[str]:
    """Tell a searcher of the earlier sweeps that it is to learn from; return what the reader should know of that.

    Args:
        searcher: of the plan's space.
        plan: whose space names them.
        again: whether one that is gone since then is left out, with a warning.
    """
    notes = []
    for name in plan.space.warm_start_from:
        try:
            earlier = read_journal(Path(name))
        except JournalError as error:
            if not again:
                raise
            _log.warning("warm_start_from: the algorithm goes on without what it once learned: %s", error)
            continue
        notes += warm_start(searcher, plan.space, earlier, plan.objectives).notes(name)
    return notes


def _num_planned(plan: Plan) -> tuple[int | None, list[str]]:
    """Return how many trials a new sweep comes to, and a note where that is fewer than planned."""
    planned, untried = plan.space.num_trials, num_untried(plan.space, plan.objectives)
    if untried == 0:
        raise ConfigError(
            ["warm_start_from: those sweeps have tried every setting of this search space; nothing is left"]
        )
    if untried is None or planned is None or untried >= planned:
        return planned, []
    return untried, [f"Of the {planned} trials planned {untried} are run: earlier sweeps have tried the others."]


def _first_trials(searcher: Searcher, space: SearchSpace, *, known: Sequence[Trial]) -> tuple[FirstTrial, ...]:
    """Return the trials of `points_to_evaluate` that have not been started yet."""
    seen = {config_key(trial.hyperparameters) for trial in known}
    new = [values for values in points_to_evaluate(space) if config_key(values) not in seen]
    return tuple(
        FirstTrial(trial_id=trial_name(number), key=searcher.open(values), values=values)
        for number, values in enumerate(new, start=next_number(trial.trial_id for trial in known))
    )


def _replay(scheduler: ParetoScheduler, trials: Sequence[Trial]) -> None:
    """Bring a scheduler to where it was when these trials had ended.

    They are told in the order in which they ended, which is that of the names in explanations; what was decided then
    stands.
    """
    for trial in sorted(trials, key=lambda one: one.ended or one.started):
        if trial.status == "failed":
            continue  # Taken back then, too.
        num_epochs = int(trial.config["epochs"])
        for done in range(1, len(trial.epochs) + 1):
            metrics = projection(trial.epochs[:done], trial.tasks, num_epochs=num_epochs)
            scheduler.tell(trial.trial_id, done, metrics, last=done == num_epochs)


def _only(sweep: Sweep, trials: Sequence[Trial]) -> Sweep:
    return Sweep(started=sweep.started, trials=list(trials), finished=sweep.finished, torn=sweep.torn)


def _started(plan: Plan, notes: Sequence[str]) -> SweepStarted:
    space = plan.space
    return SweepStarted(
        name=space.name,
        space=space.model_dump(mode="json"),
        objectives=dict(plan.objectives),
        hyperparameters=space.hyperparameters,
        tasks=tuple(task.name for task in space.tasks),
        num_trials=space.num_trials,
        seed=space.seed,
        versions=package_versions(),
        git_revision=git_revision(),
        hardware=hardware(plan.capacity.description),
        notes=tuple(notes),
    )
