"""Starts Ray on this machine or connects to a cluster."""

import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.util.state import list_nodes

from mtbert_ray.errors import ResourceError
from mtbert_ray.ray_backend.inventory import local_capacity
from mtbert_ray.ray_backend.local_ray import local_ray

_QUIET = {
    # No usage reports, no CSV, JSON and TensorBoard copies of what the journal holds.
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's own progress tables, which `verbose=0` does not turn off in its newer output.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The traces of trials that ended with the sweep, whose error nobody asks for any more.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # A warning of a future change: workers will see GPUs that they did not ask for.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_WORKER_ENV = {
    # 2 s by default; 0.2 s saves seconds a trial.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "TOKENIZERS_PARALLELISM": "false",
}


_ON_THIS_MACHINE = {
    # The workers of a trial under Ray Train talk to each other on 127.0.0.1.
    "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
}
OnDaemons = Callable[[dict[str, int]], None]


@contextmanager
def ray_session(
    address: str | None, *, runs_ray_train: bool, verbose: bool = False, on_daemons: OnDaemons | None = None
) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine and stop it at the end.

    Args:
        address: from `cluster_address`.
        runs_ray_train: trials run under Ray Train, which frees placement groups through the dashboard's State API.
        verbose: whether the workers' own output is shown.
        on_daemons: hears the names and process ids of the daemons of a Ray that is started here, and of none before
            they are stopped.

    Raises:
        ResourceError: no cluster answers at the address, or its State API does not; or Ray did not start.
    """
    defaults = _QUIET | _WORKER_ENV | (_ON_THIS_MACHINE if address is None else {})
    os.environ.update({name: value for name, value in defaults.items() if name not in os.environ})
    level = logging.INFO if verbose else logging.ERROR
    # Tune would print the whole trace of a failed trial; the sweep gives the reason in a line and keeps the trace.
    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    output: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level}
    if address is None:
        # One more for the trials' drivers under Ray Train, which only wait.
        cpus = int(local_capacity().nodes[0].cpus) + (1 if runs_ray_train else 0)
        ray_here = local_ray(num_cpus=cpus, include_dashboard=runs_ray_train, **output)
    else:
        ray_here = _connected(address, **output)
    with ray_here as daemons:
        if runs_ray_train:
            _check_state_api()
        if on_daemons is None:
            yield
            return
        on_daemons(daemons)
        try:
            yield
        finally:
            on_daemons({})


@contextmanager
def _connected(address: str, **output: Any) -> Iterator[dict[str, int]]:  # noqa: ANN401
    """Connect to a cluster, whose daemons are none of ours."""
    _check_reachable(address)
    env = {name: os.environ[name] for name in (*_WORKER_ENV, "HF_HUB_OFFLINE") if name in os.environ}
    try:
        ray.init(address=address, runtime_env={"env_vars": env}, **output)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ResourceError(f"--address {address}: no Ray answers: {error}") from error
    try:
        yield {}
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse a host and port that does not answer; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # `auto` and the like: Ray looks for the cluster by itself.
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ResourceError(f"--address {address}: no Ray answers: {error}") from error


def _check_state_api() -> None:
    try:
        # By address: with a second Ray on this machine, Ray's own choice would be ambiguous.
        list_nodes(address=ray.get_runtime_context().gcs_address, limit=1, timeout=30)
    except Exception as error:  # Ray raises several kinds here, some of them private.
        raise ResourceError(
            "the cluster's State API does not answer, so the workers of a stopped trial would never be freed; "
            f"start its head with the dashboard on and ray[default] installed ({error})"
        ) from error


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]  # Ray is untyped
def _read_folder(folder: str, marker: str | None) -> dict[str, bytes] | None:
    """Return the files of a folder by name; None where the marker, a file of who asks, is here too.

    Neither a checkpoint, nor a profile, nor predictions have folders inside.
    """
    if marker is not None and Path(marker).exists():
        return None
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def collect_folder(source: Path, target: Path, *, node_id: str, timeout_seconds: float = 600) -> None:
    """Copy a folder of flat files from another node, in place of what was copied before.

    Does nothing where the source is the target itself, on a shared file system.

    Raises:
        ray.exceptions.RayError: the node is gone or the copy failed.
        OSError: the disk here refused it; nothing of it is left.
    """
    on_node = NodeAffinitySchedulingStrategy(node_id, soft=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".shared-", dir=target.parent) as marker:
        is_there = marker.name if source == target else None
        reading = _read_folder.options(scheduling_strategy=on_node).remote(str(source), is_there)
        files = ray.get(reading, timeout=timeout_seconds)
    if files is None:
        return
    # Renamed when complete: an interrupted copy must not look like a whole one.
    partial = target.with_name(target.name + ".new")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # A full disk has no room for half a copy.
        raise
