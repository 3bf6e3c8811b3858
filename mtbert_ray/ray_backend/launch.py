"""From what a user asks on the command line to a checked plan, and on to a sweep.

The order matters: whatever can be found wrong is found before Ray starts or a folder is made.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from mtbert_ray.config.file import problem_with_data_directory
from mtbert_ray.config.trial import never_with_effect
from mtbert_ray.errors import ConfigError, JournalError
from mtbert_ray.journal import read_journal, refuse_used_folder, writing_alone
from mtbert_ray.mistakes import problems_of
from mtbert_ray.ray_backend.beginning import Beginning, begin, resume
from mtbert_ray.ray_backend.describe import describe, describe_rows
from mtbert_ray.ray_backend.inventory import cluster_capacity, local_capacity
from mtbert_ray.ray_backend.plan import Plan, make_plan
from mtbert_ray.ray_backend.preflight import check_inputs, undefined_notes, with_classes_found
from mtbert_ray.ray_backend.session import cluster_address, ray_session
from mtbert_ray.ray_backend.sweep import SweepOutcome, run_sweep
from mtbert_ray.study.remaining import num_to_run
from mtbert_ray.study.space import SearchSpace, load_search_space
from mtbert_ray.trial import Sweep


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The arguments of `python -m mtbert_ray.sweep`."""

    space_file: Path | None = None
    """None with `resume_folder`, whose journal has the search space."""
    resume_folder: Path | None = None
    """Of a sweep to go on with."""
    data: Path | None = None
    """Folder of the course's files, in place of the YAML's data source."""
    out: Path | None = None
    """Output folder; none makes one under reports/."""
    num_trials: int | None = None
    overrides: tuple[str, ...] = ()
    """`KEY=VALUE` texts."""
    address: str | None = None
    """Of a running cluster; none starts Ray here unless RAY_ADDRESS is set."""
    verbose: bool = False


def dry_run(request: SweepRequest) -> Iterator[str]:
    """Yield what the sweep would do, a line a fact, making every check that a sweep makes.

    What the trials would read is tried last: who still has to make it sees what it is for.

    Raises:
        UserError: as for `launch`.
    """
    asked = _asked(request)
    if asked.earlier is not None:
        left = "as many trials as the time allows" if asked.num_left is None else f"{asked.num_left} trials left to run"
        yield f"goes on: {asked.folder}, {left}"
    if cluster_address(request.address) is None:
        yield from describe(_noted(make_plan(asked.space, local_capacity(), own_cluster=True), asked.found))
    else:
        with _planned(request, asked.space, asked.found) as plan:
            lines = describe(plan)
        yield from lines
    said: list[str] = []
    yield from describe_rows(check_inputs(asked.space, announce=said.append))
    yield from (f"rows: {line}" for line in said)
    yield from (f"note: {note}" for note in undefined_notes(asked.space))


def launch(request: SweepRequest, *, console: Console) -> SweepOutcome:
    """Check everything, then run the sweep, or go on with one, and write its report.

    Raises:
        ConfigError: mistakes in the YAML or the options, all of them at once.
        DataError: a data file cannot be read as its task needs it.
        EncoderError: an encoder cannot be found.
        ResourceError: a trial could never be placed, or no cluster answers.
        JournalError: the output folder already holds a sweep; or there is none to go on with, another process is at
            it, or nothing of it is left to run.
    """
    asked = _asked(request)
    if cluster_address(request.address) is None:
        # Refuse what this machine can never hold before its Ray is started.
        make_plan(asked.space, local_capacity(), own_cluster=True)
    notes = list(asked.found)
    check_inputs(asked.space, announce=notes.append)
    for note in undefined_notes(asked.space):
        warnings.warn(note, stacklevel=2)
        notes.append(note)
    with _planned(request, asked.space, notes) as plan, _beginning(request, asked, plan) as beginning:
        return run_sweep(plan, asked.folder, beginning, console=console)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    space: SearchSpace
    folder: Path
    earlier: Sweep | None
    """The sweep to go on with."""
    num_left: int | None
    """Trials to run; none if time alone decides."""
    found: tuple[str, ...] = ()
    """A line for each task whose classes were found in its rows."""


def _asked(request: SweepRequest) -> _Asked:
    if request.resume_folder is not None:
        return _asked_to_go_on(request, request.resume_folder)
    if request.space_file is None:
        raise ConfigError(["give the YAML of a search space, or --resume FOLDER to go on with a sweep"])
    space = _loaded(request, request.space_file)
    # Whoever goes on with this sweep may do so from another folder.
    space, found = with_classes_found(space.with_absolute_paths())
    for key, reason in never_with_effect(space.example_configs()).items():
        warnings.warn(f"{key} has no effect in any trial: {reason}", stacklevel=2)
    folder = request.out or Path("reports") / f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    refuse_used_folder(folder)
    return _Asked(space=space, folder=folder, earlier=None, num_left=space.num_trials, found=found)


def _loaded(request: SweepRequest, space_file: Path) -> SearchSpace:
    """Read the search space; a `--data` that is no folder is told with the mistakes in the file."""
    text = None if request.data is None else problem_with_data_directory(request.data)
    of_data = [] if text is None else [f"--data {request.data}: {text}"]
    try:
        space = load_search_space(
            space_file,
            overrides=request.overrides,
            data_directory=None if request.data is None else str(request.data),
            num_trials=request.num_trials,
        )
    except ConfigError as error:
        raise ConfigError([*error.problems, *of_data]) from error
    if of_data:
        raise ConfigError(of_data)
    return space


def _asked_to_go_on(request: SweepRequest, folder: Path) -> _Asked:
    given = {
        "SPACE": request.space_file,
        "--data": request.data,
        "--out": request.out,
        "--set": request.overrides or None,
    }
    if mixed := [name for name, value in given.items() if value is not None]:
        raise ConfigError([f"--resume goes on with the settings of its sweep; leave out {', '.join(mixed)}"])
    sweep = read_journal(folder)
    with writing_alone(folder):
        pass  # Better refused now than after the data has been read.
    try:
        space = SearchSpace.model_validate(sweep.started.space)
    except ValidationError as error:
        where = f"{folder}: the search space of another version of this program"
        raise ConfigError(problems_of(error, where, SearchSpace, sweep.started.space)) from error
    space = space.model_copy(update={"trials": request.num_trials or sweep.num_trials})
    num_left = num_to_run(sweep, space)
    if num_left == 0:
        raise JournalError(f"{folder}: {_nothing_left(sweep, space)}")
    return _Asked(space=space, folder=folder, earlier=sweep, num_left=num_left)


def _noted(plan: Plan, said: Sequence[str]) -> Plan:
    """Return a plan that notes what was found in the rows as well."""
    return replace(plan, notes=(*plan.notes, *(f"{line.removesuffix('.')}." for line in said)))


def _nothing_left(sweep: Sweep, space: SearchSpace) -> str:
    num_trials = len(sweep.trials)
    if space.num_trials is not None and num_trials < space.num_trials:
        return f"its {num_trials} trials have ended, and warm_start_from's sweeps have tried every other setting"
    return f"all {num_trials} trials of this sweep have ended; --trials N, the number in all, must be more"


def _beginning(request: SweepRequest, asked: _Asked, plan: Plan) -> AbstractContextManager[Beginning]:
    if asked.earlier is not None:
        return resume(plan, asked.folder)
    assert request.space_file is not None, "without an earlier sweep there is a file"
    return begin(plan, asked.folder, space_file=request.space_file)


@contextmanager
def _planned(request: SweepRequest, space: SearchSpace, said: Sequence[str]) -> Iterator[Plan]:
    """Connect to Ray and plan for what it has, with what was said of the rows among the plan's notes."""
    address = cluster_address(request.address)
    uses_ray_train = space.resources.uses_ray_train
    with ray_session(address, runs_ray_train=uses_ray_train, verbose=request.verbose):
        capacity = local_capacity() if address is None else cluster_capacity()
        yield _noted(make_plan(space, capacity, own_cluster=address is None), said)
