"""A disk of a few MiB: memory mounted in a namespace of its own, where the machine lets a test do that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'


def command_on_small_disk(folder: Path, size: str, *command: object) -> list[str]:
    """Return the command to run with a disk of this size, as `6m`, at the folder; skips where none can be mounted."""
    folder.mkdir(exist_ok=True)
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    start = [*unshare, "sh", "-c", _MOUNT, size, str(folder)]
    if (tried := subprocess.run([*start, "true"], capture_output=True, text=True)).returncode != 0:
        pytest.skip(f"no disk can be mounted for a test here: {tried.stderr.strip()}")
    return [*start, *map(str, command)]


def run_on_small_disk(folder: Path, size: str, script: str, *arguments: object) -> str:
    """Run a Python script with a disk of this size at the folder, which is its first argument; return its output."""
    command = command_on_small_disk(folder, size, sys.executable, "-c", script, folder, *arguments)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Ballast:
    """A file that takes all room of a disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> None:
        """Leave no room; again where something was removed since."""
        with self._path.open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while True:
                        file.write(b"\1" * size)
                except OSError:
                    continue

    def remove(self) -> None:
        self._path.unlink()
