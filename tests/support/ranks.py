"""Runs of ranks that talk over gloo, in processes forked from one that has imported torch: that takes seconds."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from mtbert_ray.config import ProbeConfig, TrialConfig
from mtbert_ray.models.state import trainable_state
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import Process
from mtbert_ray.training.run_state import RunState

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["mtbert_ray.training.metering"])
_TIMEOUT_SECONDS = 180


def train_in_ranks(config: TrialConfig, folder: Path, *, world_size: int = 2) -> list[list[dict[str, Any]]]:
    """Return each rank's metrics of each epoch; the last epoch's weights are in `folder`/ranks/last.safetensors.

    Raises:
        Exception: what the first rank raised that raised anything.
    """
    return [future.result() for future in _all_done(_trained, config, folder, world_size)]


def failures_in_ranks(config: TrialConfig, folder: Path, *, world_size: int = 2) -> list[BaseException | None]:
    """Return what each rank raised."""
    return [future.exception() for future in _all_done(_trained, config, folder, world_size)]


def probe_in_ranks(config: TrialConfig, folder: Path, *, seconds_a_step: list[float]) -> list[list[dict[str, Any]]]:
    """Return each rank's probe and epoch, timed by a clock of its own."""
    return [future.result() for future in _all_done(_probed, config, folder, len(seconds_a_step), seconds_a_step)]


def _all_done(train: Any, config: TrialConfig, folder: Path, world_size: int, *more: Any) -> list[Future[Any]]:
    with ProcessPoolExecutor(world_size, mp_context=_FORKS) as pool:
        futures = [pool.submit(train, rank, world_size, config, folder, *more) for rank in range(world_size)]
        for future in futures:
            future.exception(timeout=_TIMEOUT_SECONDS)
    return futures


@contextmanager
def _gloo(rank: int, world_size: int, folder: Path) -> Iterator[Process]:
    torch.set_num_threads(1)
    address = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world_size)
    yield Process(rank=rank, world_size=world_size)
    # Nobody leaves while a peer still talks.
    dist.barrier()
    dist.destroy_process_group()


def train_in_ranks_twice(config: TrialConfig, folder: Path, *, epochs_before: int) -> list[list[dict[str, Any]]]:
    """Return each rank's metrics of each epoch, where all ranks are dropped after some epochs and start again.

    The epoch that was reported last comes twice. The last epoch's weights are as for `train_in_ranks`.
    """
    folder.mkdir(parents=True)
    first = [future.result() for future in _all_done(_trained, config, folder, 2, epochs_before)]
    second = [future.result() for future in _all_done(_trained, config, folder, 2)]
    return [before + after for before, after in zip(first, second, strict=True)]


def _trained(
    rank: int, world_size: int, config: TrialConfig, folder: Path, num_epochs: int | None = None
) -> list[dict[str, Any]]:
    with _gloo(rank, world_size, folder) as process:
        state = RunState(folder / "state", config, process)
        run = TrainingRun(config, process=process, folder=folder / "ranks", state=state)
        epochs = metered_epochs(run)
        metrics = [epoch.metrics for epoch in islice(epochs, num_epochs)]
        epochs.close()
        if process.is_main:
            # The weights of the last epoch: which one is best hangs on rounding, as a tiny encoder's scores do.
            save_file(trainable_state(run.model), folder / "ranks" / "last.safetensors")
        del run  # DDP's reducer holds the process group.
    return metrics


def _probed(
    rank: int, world_size: int, config: TrialConfig, folder: Path, seconds_a_step: list[float]
) -> list[dict[str, Any]]:
    at = 0.0

    def on_step(step: int, total: int) -> None:
        nonlocal at
        at += seconds_a_step[rank]

    with _gloo(rank, world_size, folder) as process:
        run = TrainingRun(config, process=process, on_step=on_step, clock=lambda: at)
        results = [asdict(result) for result in metered_epochs(run, probe=ProbeConfig(steps=5, warmup_steps=2))]
        del run
    return results
