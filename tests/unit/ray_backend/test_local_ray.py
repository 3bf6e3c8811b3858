"""How Ray is started on this machine, and where its files are. Ray itself is left out."""

import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mtbert_ray import compat
from mtbert_ray.errors import RayLostError, ResourceError
from mtbert_ray.ray_backend import local_ray as module
from mtbert_ray.ray_backend.local_ray import local_ray, remove_leftovers, temporary_folder
from mtbert_ray.ray_backend.processes import has_ended


@pytest.fixture
def base(monkeypatch):
    """The system's temporary folder, with a path as short as a real one."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def names(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


class Starts:
    """In the place of `ray.init`: each start does the next of these."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.options: list[dict] = []
        self.left: list[subprocess.Popen] = []

    def __call__(self, **options: object) -> None:
        self.options.append(options)
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            self.left.append(subprocess.Popen(["sleep", "600"]))  # As the daemons of a start that fails.
            raise outcome


def test_ray_gets_a_folder_that_no_other_user_enters_and_that_is_gone_after_it(base):
    starts = Starts(None)
    with local_ray(init=starts, num_cpus=3):
        [folder] = base.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # Ray itself opens the folder that it gets to everybody.
        assert Path(starts.options[0]["_temp_dir"]).parent == folder
        assert starts.options[0]["address"] == "local" and starts.options[0]["num_cpus"] == 3
        (folder / "ray").mkdir()
        (folder / "ray" / "log").write_text("x")
    assert names(base) == []


def test_a_start_that_fails_is_repeated_once_and_told(base, caplog):
    starts = Starts(Exception("\nThe current node timed out during startup.\nMore."), None)
    with local_ray(init=starts):
        pass
    assert len(starts.options) == 2
    [line] = caplog.messages
    assert "timed out during startup" in line and "More" not in line
    assert all(has_ended(psutil.Process(process.pid)) for process in starts.left if psutil.pid_exists(process.pid))


@pytest.mark.parametrize("outcomes", [(RuntimeError("no GCS"), TimeoutError("again")), (ValueError("num_cpus"),)])
def test_what_fails_twice_or_for_its_arguments_is_refused(base, outcomes):
    starts = Starts(*outcomes)
    with pytest.raises(ResourceError) as caught, local_ray(init=starts):
        raise AssertionError("it did not start")
    assert str(outcomes[-1]) in str(caught.value)
    assert (starts.outcomes, names(base)) == ([], [])
    for process in starts.left:
        process.kill()


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_error_is_that_of_a_lost_ray_if_a_daemon_has_ended(base, monkeypatch, tmp_path, is_killed):
    daemon = tmp_path / "raylet"
    daemon.symlink_to("/bin/sleep")
    started = []
    expected = RayLostError if is_killed else KeyError

    def init(**options: object) -> None:
        started.append(subprocess.Popen([daemon, "600"]))

    with pytest.raises(expected) as caught, local_ray(init=init) as daemons:
        assert daemons == {"raylet": started[0].pid}
        if is_killed:
            started[0].kill()
            while not has_ended(psutil.Process(started[0].pid)):
                time.sleep(0.01)
        raise KeyError("whatever Ray then raises")
    assert not is_killed or ("raylet" in str(caught.value) and caught.value.exit_code == 3)
    started[0].kill()


def hold(folder: Path) -> int:
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def test_leftovers_of_killed_sweeps_are_removed_and_nothing_else(base):
    for name in ("mtbert-killed", "mtbert-running", "mtbert-new", "mtbert-old", "other"):
        (base / name).mkdir()
    for name in ("mtbert-killed", "mtbert-running"):
        (base / name / "ray").mkdir()
    (base / "mtbert-link").symlink_to(base / "other")
    (base / "mtbert-file").touch()
    (base / "other" / "precious").touch()
    long_ago = time.time() - 2 * module._NEW_SECONDS
    os.utime(base / "mtbert-old", (long_ago, long_ago))
    lock = hold(base / "mtbert-running")
    remove_leftovers(base)
    assert names(base) == ["mtbert-file", "mtbert-link", "mtbert-new", "mtbert-running", "other"]
    assert (base / "other" / "precious").exists()
    os.close(lock)
    remove_leftovers(base)
    assert "mtbert-running" not in names(base)


def test_another_user_s_leftovers_stay(base, monkeypatch):
    (base / "mtbert-theirs" / "ray").mkdir(parents=True)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    remove_leftovers(base)
    assert names(base) == ["mtbert-theirs"]


KILLED = """
import os, signal
from mtbert_ray.ray_backend.local_ray import local_ray
def start(_temp_dir, **options):
    os.mkdir(_temp_dir)
with local_ray(init=start):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_is_gone_after_the_next_start(base):
    with suppress(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", KILLED], check=True)
    [left] = base.iterdir()
    with local_ray(init=Starts(None)):
        assert not left.exists()
    assert names(base) == []


def test_the_folder_is_where_a_socket_s_path_is_short_enough(monkeypatch):
    long = "/tmp/" + "x" * 40
    monkeypatch.setenv("RAY_TMPDIR", long)
    with pytest.raises(ResourceError, match="RAY_TMPDIR"):
        temporary_folder()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", long)
    assert temporary_folder() == Path("/tmp").resolve()
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert temporary_folder() == Path("/var/tmp").resolve()


def test_ray_has_the_address_of_this_machine_alone_in_that_context():
    from ray._private.services import get_node_ip_address

    before = get_node_ip_address()
    with compat.ray_on_loopback():
        assert get_node_ip_address() == "127.0.0.1"
    assert get_node_ip_address() == before
