"""Five kills, one of each kind, and the sweep ends as if there had been none. chaos.py makes more of them."""

import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
from chaos import VICTIMS, attack
from command_line import invoke

pytestmark = pytest.mark.ray
LOCAL = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


class Look:
    """What is seen of a sweep before each kill."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folders = set(Path("/tmp").glob("mtbert-*"))
        self.seen: list[psutil.Process] = []
        self.num_listening = 0

    def __call__(self, supervisor: psutil.Process) -> None:
        [session] = supervisor.children()
        processes = [session, *session.children(recursive=True)]
        numbers = {process.pid for process in processes}
        listening = {
            each.laddr.ip
            for each in psutil.net_connections("tcp")
            if each.pid in numbers and each.status == psutil.CONN_LISTEN
        }
        assert listening <= LOCAL
        self.num_listening += len(listening)
        for folder in set(Path("/tmp").glob("mtbert-*")) - self.folders:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        if not self.seen:
            self.is_alone(session)
        self.seen += processes

    def is_alone(self, session: psutil.Process) -> None:
        """A second process may not resume a sweep that runs."""
        os.killpg(session.pid, signal.SIGSTOP)  # It must not end before the other has come so far.
        try:
            busy = invoke("sweep", "--resume", self.out)
        finally:
            os.killpg(session.pid, signal.SIGCONT)
        assert busy.exit_code == 2 and "another process is running this sweep" in busy.stderr


def test_a_sweep_under_attack_ends_as_an_undisturbed_one(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    look = Look(tmp_path / "out")
    chaos = attack(tmp_path, "random", list(VICTIMS), trials=3, epochs=40, seed=0, look=look)
    assert chaos.kills.total() == len(VICTIMS), "the sweep was over before all had been killed"
    assert chaos.resumed_by_hand == 1, "the supervisor resumes it by itself, unless it is killed"
    assert look.num_listening > 0
    _, alive = psutil.wait_procs(look.seen, timeout=90)
    assert not alive, "what a session started ends with it"
    assert set(Path("/tmp").glob("mtbert-*")) <= look.folders, "and its folders are removed"
