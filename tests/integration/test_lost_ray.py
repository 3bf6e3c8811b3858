"""A sweep whose Ray loses its daemons goes on with another one; where Ray listens, and what it leaves behind."""

import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from command_line import ROOT, command, options

from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend.processes import has_ended

pytestmark = pytest.mark.ray
TRIAL_PROCESSES = ("ray::InlineTrial", "ray::ResourceTrainable")
LOCAL = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def session_of(supervisor: psutil.Process) -> list[psutil.Process]:
    """The processes of a session: its own, those of its Ray and its trials'; none between two sessions."""
    [leader] = supervisor.children()
    return [leader, *leader.children(recursive=True)]


def title_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def wait_for(done, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not done():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def num_finished(out: Path) -> int:
    journal = out / "journal.jsonl"
    return journal.read_text().count('"event":"trial_finished"') if journal.exists() else 0


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses on which they wait for connections."""
    numbers = {process.pid for process in processes}
    found = [one for one in psutil.net_connections("tcp") if one.pid in numbers and one.status == psutil.CONN_LISTEN]
    return {one.laddr.ip for one in found}


def test_a_sweep_survives_the_loss_of_its_raylet_and_of_its_gcs(space_file, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    out = tmp_path / "out"
    before = set(Path("/tmp").glob("mtbert-*"))
    process = subprocess.Popen(
        command("sweep", space_file, "--out", out, *options(epochs=1, resources__concurrent_trials=1)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    supervisor, seen = psutil.Process(process.pid), []
    try:
        for count, daemon in enumerate(("raylet", "gcs_server"), start=1):
            wait_for(lambda count=count: num_finished(out) >= count, process)
            session = session_of(supervisor)
            assert any(title_of(one).startswith(TRIAL_PROCESSES) for one in session)
            seen += session
            assert listening(session) and listening(session) <= set(LOCAL)
            [folder] = set(Path("/tmp").glob("mtbert-*")) - before
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            [lost] = [one for one in session if title_of(one).partition(" ")[0].endswith(f"/{daemon}")]
            lost.send_signal(signal.SIGKILL)
            wait_for(lambda session=session: all(has_ended(one) for one in session), process)
        stdout, stderr = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert stderr.count("resuming the sweep") == 2 and "(raylet)" in stderr and "(gcs_server)" in stderr
    assert f"Report: {out.resolve() / 'index.html'}" in stdout
    sweep = read_journal(out)
    assert [trial.status for trial in sweep.trials] == ["finished"] * 4
    assert sweep.finished is not None and sweep.finished.reason == "completed" and len(sweep.resumed) == 2
    assert all(has_ended(one) for one in seen)
    assert set(Path("/tmp").glob("mtbert-*")) <= before
