"""A sweep under Ray on a disk that is too small for its checkpoints."""

import json
import os
import subprocess

import pytest
from command_line import ONE_AT_A_TIME, ROOT, TINY_SPACE, command
from small_disk import command_on_small_disk

KEPT = '"$@"; code=$?; cp -r "$DISK/out" "$KEPT"; exit $code'
"""The disk is gone with the command, so its files are copied first."""


@pytest.mark.ray
def test_a_checkpoint_without_room_ends_the_sweep_in_order(tmp_path):
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    (tmp_path / "tiny.yaml").write_text(TINY_SPACE + ONE_AT_A_TIME)
    sweep = command("sweep", tmp_path / "tiny.yaml", "--out", disk / "out")
    # 1 MiB is the journal's reserve; the first checkpoint is of 170 KiB.
    whole = command_on_small_disk(disk, "1150k", "sh", "-c", KEPT, "sh", *sweep)
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment |= {"DISK": str(disk), "KEPT": str(kept)}
    done = subprocess.run(whole, capture_output=True, text=True, timeout=300, cwd=ROOT, env=environment)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith(f"{disk}/out/trials/")]
    assert "model.safetensors: No space left on device; " in line
    assert f"--resume {disk}/out" in done.stdout
    events = [json.loads(text) for text in (kept / "journal.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "sweep_finished" and events[-1]["reason"] == "disk_full"
    assert not any(event["event"] == "trial_failed" for event in events)
    assert {event["kind"] for event in events if event["event"] == "trial_stopped"} == {"sweep"}
    assert not (kept / "journal.reserve").exists() and not list(kept.rglob("*.new"))
