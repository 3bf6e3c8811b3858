"""The process of a session: runs what a supervisor orders, and reports to it.

    python -m mtbert_ray.ray_backend.session_process FD SUPERVISOR  < a pickled `SessionOrder`

SUPERVISOR is a process id. Reports are lines of JSON on the file descriptor FD: `{"daemons": {name: process id}}` while
a Ray that was started here runs, and at the end `{"exit_code": 0}`, or `{"lost": why}` where Ray ended first, or
`{"raised": true}` after a traceback. A process that ends without the last of them was cut off.
"""

import json
import os
import pickle
import shlex
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from mtbert_ray.errors import DiskError, RayLostError, UserError
from mtbert_ray.ray_backend.processes import end_with_parent

if TYPE_CHECKING:
    from mtbert_ray.events import SweepEnd
    from mtbert_ray.ray_backend.session import OnDaemons
    from mtbert_ray.study.request import SweepRequest

INTERRUPTED = 130
"""Exit code."""
CUT_OFF = 3
"""Exit code."""
FORWARDED = signal.SIGUSR2
"""Stands for a SIGINT or SIGTERM that the supervisor got. Whoever ends a sweep may send its signal to all processes, so
one that came both ways must not count twice."""


@dataclass(frozen=True, kw_only=True)
class SessionOrder:
    """What a supervisor wants to have run."""

    request: "SweepRequest"
    address: str | None
    verbose: bool


def exit_code_of(reason: "SweepEnd", num_finished: int) -> int:
    """0 done, 1 no trial finished, 3 trials died and are left, 4 a disk refused something, 130 interrupted."""
    by_reason = {"interrupted": INTERRUPTED, "deaths": CUT_OFF, "disk_full": DiskError.exit_code}
    return by_reason.get(reason, 0 if num_finished > 0 else 1)


def cluster_address(address: str | None) -> str | None:
    """Return the cluster to connect to, from RAY_ADDRESS in a submitted job; None to start Ray here."""
    return address or os.environ.get("RAY_ADDRESS")


def run_session(
    request: "SweepRequest", *, address: str | None, verbose: bool, on_daemons: "OnDaemons | None" = None
) -> int:
    """Run a session in this process, print where its report is, and return the exit code; errors as of `launch`."""
    # Only now: torch and Ray take seconds.
    from mtbert_ray.ray_backend.launch import launch

    outcome = launch(request, address=address, verbose=verbose, console=Console(stderr=True), on_daemons=on_daemons)
    if outcome.problem is not None:
        typer.echo(outcome.problem, err=True)
    print_end(outcome.report, outcome.folder, is_complete=outcome.reason == "completed")
    return outcome.exit_code


def print_end(report: Path | None, folder: Path, *, is_complete: bool) -> None:
    """Print where the report is, or how to write it, and how to resume a sweep that did not complete."""
    where = shlex.quote(str(folder))
    if report is None:
        typer.echo(f"Write the report with: python -m mtbert_ray.report {where}")
    else:
        typer.echo(f"Report: {report}")
    if not is_complete:
        typer.echo(f"Resume with: python -m mtbert_ray.sweep --resume {where}")


def plain_warnings() -> None:
    """Let warnings be a line each."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"


def main() -> None:
    """Run one order."""
    reports = int(sys.argv[1])
    os.set_inheritable(reports, False)

    def tell(**report: object) -> None:
        os.write(reports, json.dumps(report).encode() + b"\n")

    try:
        signal.signal(FORWARDED, signal.default_int_handler)
        plain_warnings()
        end_with_parent(int(sys.argv[2]), sys.stdin.buffer)
        order: SessionOrder = pickle.load(sys.stdin.buffer)
        exit_code = run_session(
            order.request,
            address=order.address,
            verbose=order.verbose,
            on_daemons=lambda daemons: tell(daemons=daemons),
        )
    except RayLostError as error:
        tell(lost=str(error))
        sys.exit(error.exit_code)
    except UserError as error:
        typer.echo(str(error), err=True)
        exit_code = error.exit_code
    except KeyboardInterrupt:
        exit_code = INTERRUPTED
    except Exception:
        traceback.print_exc()
        tell(raised=True)
        sys.exit(1)
    tell(exit_code=exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
