"""From what a user asks on the command line to a checked plan, and on to a sweep.

The order matters: whatever can be found wrong is found before Ray starts or a folder is made.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from mtbert_ray.cluster.inventory import cluster_capacity, local_capacity
from mtbert_ray.cluster.session import cluster_address, ray_session
from mtbert_ray.config.without_effect import never_with_effect
from mtbert_ray.records import refuse_used_folder
from mtbert_ray.tuning.describe import describe, describe_rows
from mtbert_ray.tuning.inputs import check_inputs
from mtbert_ray.tuning.plan import Plan, make_plan
from mtbert_ray.tuning.space import SearchSpace, load_search_space
from mtbert_ray.tuning.sweep import SweepOutcome, run_sweep


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The arguments of `python -m mtbert_ray.sweep`."""

    space_file: Path
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
    space, _ = _checked(request)
    if cluster_address(request.address) is None:
        yield from describe(make_plan(space, local_capacity(), own_cluster=True))
    else:
        with _planned(request, space) as plan:
            lines = describe(plan)
        yield from lines
    yield from describe_rows(check_inputs(space))


def launch(request: SweepRequest, *, console: Console) -> SweepOutcome:
    """Check everything, then run the sweep and write its report.

    Raises:
        ConfigError: mistakes in the YAML or the options, all of them at once.
        DataError: a data file cannot be read as its task needs it.
        EncoderError: an encoder cannot be found.
        ResourceError: a trial could never be placed, or no cluster answers.
        JournalError: the output folder already holds a sweep.
    """
    space, folder = _checked(request)
    if cluster_address(request.address) is None:
        # Refuse what this machine can never hold before its Ray is started.
        make_plan(space, local_capacity(), own_cluster=True)
    check_inputs(space)
    with _planned(request, space) as plan:
        return run_sweep(plan, folder, space_file=request.space_file, console=console)


def _checked(request: SweepRequest) -> tuple[SearchSpace, Path]:
    space = load_search_space(
        request.space_file,
        overrides=request.overrides,
        data_directory=None if request.data is None else str(request.data),
        num_trials=request.num_trials,
    )
    for key, reason in never_with_effect(space.example_configs()).items():
        warnings.warn(f"{key} has no effect in any trial: {reason}", stacklevel=2)
    folder = request.out or Path("reports") / f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    refuse_used_folder(folder)
    return space, folder


@contextmanager
def _planned(request: SweepRequest, space: SearchSpace) -> Iterator[Plan]:
    """Connect to Ray and plan for what it has."""
    address = cluster_address(request.address)
    uses_ray_train = space.resources.uses_ray_train
    with ray_session(address, runs_ray_train=uses_ray_train, verbose=request.verbose):
        capacity = local_capacity() if address is None else cluster_capacity()
        yield make_plan(space, capacity, own_cluster=address is None)
