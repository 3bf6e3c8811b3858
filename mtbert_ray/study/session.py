"""A session of a sweep: its study, attached to the journal in its folder, with what it ran on written down."""

import logging
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mtbert_ray.errors import ConfigError
from mtbert_ray.events import Scalar, SweepResumed, SweepStarted
from mtbert_ray.files import put_file
from mtbert_ray.journal import Journal, read_events, writing_alone
from mtbert_ray.metrics import Objectives
from mtbert_ray.resources.gpu import list_gpus
from mtbert_ray.resources.node_memory import node_memory
from mtbert_ray.study.request import SPACE_NAME
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.read_back import read_space
from mtbert_ray.study.study import Study
from mtbert_ray.study.warm_start import num_untried, read_earlier_sweeps

_log = logging.getLogger(__name__)


@contextmanager
def new_session(
    folder: Path, space: SearchSpace, objectives: Objectives, *, notes: Sequence[str], cluster: str, space_text: str
) -> Iterator[Study]:
    """Give the study of a new sweep, whose events go to a journal in an empty folder; others are kept from it.

    `space` and `objectives` are resolved for the cluster, `cluster` describes it; `space_text` is as the user wrote it.

    Raises:
        ConfigError: the sweeps of `warm_start_from` have tried everything there is.
        JournalError: the folder is not empty or cannot be written, or a journal of `warm_start_from` cannot be read.
        DiskError: the disk has no room for a journal, or fails; nothing is left there.
    """
    earlier = read_earlier_sweeps(space, objectives)
    planned, untried = space.num_trials, num_untried(space, earlier)
    if untried == 0:
        raise ConfigError(["warm_start_from: those sweeps have tried every config of this search space"])
    if planned is not None and untried is not None and untried < planned:
        notes = [*notes, f"Of the {planned} trials planned {untried} are run: earlier sweeps have tried the others."]
    started = SweepStarted(
        name=space.name,
        space=space.model_dump(mode="json"),
        space_text=space_text,
        objectives=dict(objectives),
        hyperparameters=space.hyperparameters,
        tasks=tuple(task.name for task in space.tasks),
        num_trials=space.num_trials,
        seed=space.seed,
        versions=package_versions(),
        git_revision=git_revision(),
        hardware=hardware(cluster),
        notes=(*notes, *(note for sweep in earlier for note in sweep.notes)),
    )
    study = Study(started, earlier=earlier)
    # Last, so that nothing leaves a journal without its first event.
    journal = Journal(folder)
    with writing_alone(folder), journal.reserving():
        journal.begin(started)
        study.observers.append(lambda event, trial: journal.append(event))
        try:
            put_file(folder / SPACE_NAME, lambda new: new.write_text(space_text, encoding="utf-8"))
        except OSError as error:
            _log.warning("%s: no copy of the search space, which the journal holds too: %s", folder, error)
        yield study


@contextmanager
def resumed_session(
    folder: Path,
    *,
    num_trials: int | None,
    space_text: str | None,
    cluster: str,
    repeats: int | None = None,
    remeasure: bool = False,
) -> Iterator[Study]:
    """Give the study of a sweep that another session left, as its journal has it; others are kept from it.

    `num_trials` counts those of earlier sessions too; `space_text` is space.yaml as it is now; `repeats` and
    `remeasure` are as of `SweepResumed`.

    Raises:
        JournalError: another process writes the journal, or it cannot be read.
        DiskError: the disk has no room to continue it, or fails; it stays as it was.
    """
    with writing_alone(folder):
        journal = Journal.reopen(folder)
        study = read_study(folder)
        study.observers.append(lambda event, trial: journal.append(event))
        resumed = SweepResumed(
            num_trials=num_trials,
            space_text=space_text,
            repeats=repeats,
            remeasure=remeasure,
            versions=package_versions(),
            git_revision=git_revision(),
            hardware=hardware(cluster),
        )
        with journal.reserving():
            study.add(resumed)
            yield study


def read_study(folder: Path) -> Study:
    """Return the study of a sweep's journal.

    Raises:
        JournalError: it cannot be read.
        ConfigError: its search space is none of this version.
    """
    events, _ = read_events(folder)
    started = events[0]
    assert isinstance(started, SweepStarted), "read_events checks that"
    space = read_space(started.space, str(folder))
    return Study.replay(events, earlier=read_earlier_sweeps(space, started.objectives, missing_ok=True))


_PACKAGES = ("mtbert-ray", "torch", "transformers", "peft", "ray", "optuna", "moocore", "numpy")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result, and of Python."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # Run from a checkout that was never installed.
    return versions


def git_revision() -> str | None:
    """Return the commit of this code, `-dirty` if the tree has changes; none outside a checkout of it."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def hardware(cluster: str) -> dict[str, Scalar]:
    """Return what this node is, and the cluster in words."""
    gpus = list_gpus()
    return {
        "cluster": cluster,
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_gib": round(node_memory().total / 2**30, 1),
        "gpus": ", ".join(gpu.name for gpu in gpus) or None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> str | None:
    """Return the processor's model: on Linux from /proc, elsewhere through `platform`."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None
