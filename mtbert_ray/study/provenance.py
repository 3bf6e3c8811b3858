"""What a sweep ran with: package versions, git revision, hardware. Written into the journal's first event."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from mtbert_ray.events import Scalar
from mtbert_ray.resources.gpu import list_gpus

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
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": ", ".join(gpu.name for gpu in gpus) or None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> str | None:
    """Return the processor's model; Linux tells it in /proc, other systems through `platform`."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None
