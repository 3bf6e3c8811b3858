"""From a request to a sweep: everything is checked, Ray is started or joined, the trials run, a report ends it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mtbert_ray.disk import refusals_as_disk_errors
from mtbert_ray.errors import ConfigError
from mtbert_ray.ray_backend.disk_estimate import disk_estimate
from mtbert_ray.ray_backend.disk_watch import ray_failures_as_disk_errors
from mtbert_ray.ray_backend.estimate import time_estimate
from mtbert_ray.ray_backend.inventory import cluster_capacity, local_capacity
from mtbert_ray.ray_backend.local_ray import ray_folder
from mtbert_ray.ray_backend.plan import Plan, describe, describe_rows, make_plan
from mtbert_ray.ray_backend.preflight import check_inputs, undefined_notes, with_classes_found
from mtbert_ray.ray_backend.run import SweepOutcome, run_study
from mtbert_ray.ray_backend.session import OnDaemons, ray_session
from mtbert_ray.ray_backend.session_process import cluster_address
from mtbert_ray.reporting.wording import counted, joined
from mtbert_ray.study.request import SweepRequest, new_request, request_of, resume_request
from mtbert_ray.study.session import new_session, resumed_session
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.study import Study


def run_sweep(
    space: SearchSpace | Path | str,
    out: Path | str | None = None,
    *,
    data: Path | str | None = None,
    trials: int | None = None,
    repeats: int | None = None,
    overrides: Sequence[str] = (),
    address: str | None = None,
    verbose: bool = False,
) -> SweepOutcome:
    """Run a sweep, as `python -m mtbert_ray.sweep` does, and write its report.

    Args:
        space: a search space or its YAML file.
        out: output folder; none makes one under reports/.
        data: folder of the course's files; of a YAML file only, as are `trials`, `repeats` and `overrides`.
        trials: in place of the YAML's.
        repeats: in place of the YAML's: further seeds of each trial on the front.
        overrides: `KEY=VALUE` texts.
        address: of a running Ray cluster; none starts Ray here unless RAY_ADDRESS is set.
        verbose: whether Ray's and the workers' own output is shown.

    Raises:
        UserError: as of `launch`.
    """
    folder = None if out is None else Path(out)
    if isinstance(space, SearchSpace):
        if data is not None or trials is not None or repeats is not None or overrides:
            of_yaml = "data, trials, repeats and overrides"
            raise ConfigError([f"{of_yaml} change a YAML file; give a SearchSpace that has them"])
        request = request_of(space, out=folder)
    else:
        directory = None if data is None else Path(data)
        request = new_request(
            Path(space), out=folder, data=directory, num_trials=trials, repeats=repeats, overrides=overrides
        )
    return launch(request, address=address, verbose=verbose, console=Console(stderr=True))


def resume_sweep(
    folder: Path | str,
    *,
    trials: int | None = None,
    repeat_front: int | None = None,
    remeasure: bool = False,
    address: str | None = None,
    verbose: bool = False,
) -> SweepOutcome:
    """Resume the sweep of a folder, as `python -m mtbert_ray.sweep --resume` does; errors are as of `run_sweep`.

    Args:
        folder: of the sweep.
        trials: the number in all; none keeps what was planned.
        repeat_front: further seeds of each trial on the front; none keeps what was asked for.
        remeasure: whether each trial on the front runs alone for an epoch, for its costs.
        address: as of `run_sweep`.
        verbose: as of `run_sweep`.
    """
    request = resume_request(Path(folder), num_trials=trials, repeat_front=repeat_front, remeasure=remeasure)
    return launch(request, address=address, verbose=verbose, console=Console(stderr=True))


def dry_run(request: SweepRequest, *, address: str | None = None) -> Iterator[str]:
    """Yield what the sweep would do, a line a fact, after every check that a sweep makes; errors as of `launch`."""
    space, found = _with_classes(request)
    if request.earlier is not None:
        yield f"resumes: {request.folder}, {_trials_to_run(request)}"
    if cluster_address(address) is None:
        plan = make_plan(space, local_capacity(), own_cluster=True)
    else:
        with _planned(space, address) as plan:
            pass
    yield from describe(_with_notes(plan, [*request.notes, *found]))
    yield time_estimate(request, plan)
    noted: list[str] = []
    rows = check_inputs(space, announce=noted.append)
    yield from describe_rows(rows)
    yield from (f"rows: {line}" for line in noted)
    yield disk_estimate(request, plan, rows)
    yield from (f"note: {note}" for note in undefined_notes(space))


def launch(
    request: SweepRequest,
    *,
    address: str | None,
    verbose: bool,
    console: Console,
    on_daemons: OnDaemons | None = None,
) -> SweepOutcome:
    """Check everything, then run or resume the sweep, and write its report; `on_daemons` is as of `ray_session`.

    Raises:
        ConfigError: what the YAML asks for does not fit together or the cluster.
        DataError: a data file cannot be read as its task needs it.
        EncoderError: an encoder cannot be found.
        ResourceError: a trial could never be placed, or no cluster answers, or Ray does not start.
        RayLostError: the Ray that was started here has ended.
        JournalError: the output folder cannot be written, or another process runs this sweep.
        DiskError: a disk refused something before the first trial started.
    """
    with ray_failures_as_disk_errors(), refusals_as_disk_errors(request.folder, ray_folder()):
        return _launch(request, address=address, verbose=verbose, console=console, on_daemons=on_daemons)


def _launch(
    request: SweepRequest, *, address: str | None, verbose: bool, console: Console, on_daemons: OnDaemons | None
) -> SweepOutcome:
    for note in request.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    space, found = _with_classes(request)
    if cluster_address(address) is None:
        # Refuse what this machine can never hold before its Ray is started.
        _announce(request, make_plan(space, local_capacity(), own_cluster=True), console)
    notes = list(found)
    check_inputs(space, announce=notes.append)
    for note in undefined_notes(space):
        warnings.warn(note, stacklevel=3)
        notes.append(note)
    with _planned(space, address, verbose=verbose, on_daemons=on_daemons) as plan:
        if cluster_address(address) is not None:
            _announce(request, plan, console)
        with _session(request, _with_notes(plan, notes)) as study:
            return run_study(study, plan, request.folder, console=console)


def _with_classes(request: SweepRequest) -> tuple[SearchSpace, tuple[str, ...]]:
    return (request.space, ()) if request.earlier is not None else with_classes_found(request.space)


def _announce(request: SweepRequest, plan: Plan, console: Console) -> None:
    """Print the first line: where the sweep writes, how many trials it runs and how many at once."""
    at_once = f"{_trials_to_run(request)}, {plan.concurrent_trials} at once"
    line = f"Sweep {plan.space.name}: writing to {request.folder}, {at_once}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _trials_to_run(request: SweepRequest) -> str:
    if request.num_left is None:
        return "trials until the time budget is spent"
    left = " left" if request.earlier is not None else ""
    parts = [counted(request.num_left, "trial")] if request.num_left or not request.reruns else []
    if request.earlier is None and request.space.repeats:
        parts.append(f"then {counted(request.space.repeats, 'repeat')} of each on the front")
    for purpose, noun in (("repeat", "repeat"), ("remeasure", "remeasurement")):
        if number := sum(one.purpose == purpose for one in request.reruns):
            # Of the front so far, which trials that are left may change.
            parts.append(f"{'about ' if request.num_left else ''}{counted(number, noun)}")
    return joined(parts) + left


def _with_notes(plan: Plan, notes: Sequence[str]) -> Plan:
    return replace(plan, notes=(*plan.notes, *(f"{line.removesuffix('.')}." for line in notes)))


def _session(request: SweepRequest, plan: Plan) -> AbstractContextManager[Study]:
    cluster = plan.capacity.description
    if request.earlier is not None:
        return resumed_session(
            request.folder,
            num_trials=plan.space.num_trials,
            space_text=request.space_text,
            cluster=cluster,
            repeats=request.repeats,
            remeasure=request.remeasure,
        )
    assert request.space_text is not None, "a new sweep has a search space that somebody wrote"
    return new_session(
        request.folder,
        plan.space,
        plan.objectives,
        notes=plan.notes,
        cluster=cluster,
        space_text=request.space_text,
    )


@contextmanager
def _planned(
    space: SearchSpace, address: str | None, *, verbose: bool = False, on_daemons: OnDaemons | None = None
) -> Iterator[Plan]:
    """Connect to Ray and plan for what it has."""
    address = cluster_address(address)
    runs_ray_train = space.resources.uses_ray_train
    with ray_session(address, runs_ray_train=runs_ray_train, verbose=verbose, on_daemons=on_daemons):
        capacity = local_capacity() if address is None else cluster_capacity()
        yield make_plan(space, capacity, own_cluster=address is None)
