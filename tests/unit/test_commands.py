"""Every command answers to bad input, and to --help, before it imports what takes seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY_SPACE

SLOW = {"torch", "transformers", "ray", "pandas", "matplotlib"}
RUN = f"""
import atexit, runpy, sys
atexit.register(lambda: print("slow:", *sorted({SLOW!r} & set(sys.modules)), file=sys.stderr))
module = sys.argv.pop(1)
sys.argv[0] = module
runpy.run_module("mtbert_ray." + module, run_name="__main__", alter_sys=True)
"""
ROOT = Path(__file__).parents[2]

BAD_INPUT = {
    "sweep, no file": (["sweep", "nowhere.yaml"], "nowhere.yaml"),
    "sweep, misspelt key": (["sweep", "wrong.yaml"], "wrong.yaml"),
    "sweep, misspelt --set": (["sweep", "space.yaml", "--set", "epohcs=2"], "'epochs'"),
    "sweep, no data folder": (["sweep", "space.yaml", "--data", "nowhere"], "--data nowhere"),
    "sweep, nothing to run": (["sweep"], "--resume"),
    "sweep, nothing to resume": (["sweep", "--resume", "nowhere"], "nowhere/journal.jsonl"),
    "train, no file": (["train", "--config", "nowhere.yaml"], "nowhere.yaml"),
    "train, misspelt key": (["train", "--config", "wrong.yaml"], "wrong.yaml:2: "),
    "train, misspelt --set": (["train", "--set", "epoch=2"], "'epochs'"),
    "train, no data folder": (["train", "--data", "nowhere"], "--data nowhere"),
    "train, wrong flag": (["train", "--cnofig", "wrong.yaml"], "--cnofig"),
    "predict, no checkpoint": (["predict", "nowhere"], "nowhere"),
    "predict, no data folder": (["predict", "checkpoint", "--data", "nowhere"], "--data nowhere"),
    "predict, no file": (["predict", "checkpoint", "--file", "sst=nowhere.csv"], "nowhere.csv"),
    "predict, misspelt task": (["predict", "checkpoint", "--file", "sts2=rows.csv"], "'sts'"),
    "export, no checkpoint": (["export", "nowhere", "--out", "new"], "nowhere"),
    "export, used folder": (["export", "checkpoint", "--out", "checkpoint"], "--out checkpoint"),
    "export, no sweep": (["export", "nowhere", "--to", "optuna", "sqlite:///x.db"], "nowhere/journal.jsonl"),
    "export, no --out": (["export", "checkpoint"], "--out"),
    "sample, no file": (["sample", "nowhere.yaml", "--out", "new.csv"], "nowhere.yaml"),
    "sample, misspelt key": (["sample", "wrong.yaml", "--out", "new.csv"], "wrong.yaml:2: "),
    "report, no folder": (["report", "nowhere"], "nowhere/journal.jsonl"),
    "report, several without --out": (["report", "nowhere", "elsewhere"], "--out"),
    "report, several watched": (["report", "nowhere", "elsewhere", "--out", "new", "--watch"], "--watch"),
    "report, second is no folder": (["report", "nowhere", "elsewhere", "--out", "new"], "nowhere/journal.jsonl"),
    "report, wrong flag": (["report", "nowhere", "--out", "new"], "--out"),
    "replay, no folder": (["replay", "nowhere"], "nowhere/journal.jsonl"),
    "replay, nothing to replay": (["replay"], "--lcbench"),
    "replay, wrong number": (["replay", "nowhere", "--workers", "0"], "--workers"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a YAML with a misspelt key, a search space, and as much of a checkpoint as is read before its weights."""
    (tmp_path / "wrong.yaml").write_text("seed: 1\nepoch: 2\n")
    (tmp_path / "space.yaml").write_text(TINY_SPACE)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    return tmp_path


def answer(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stderr, and the slow libraries that were imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
    )
    errors, _, slow = done.stderr.rpartition("slow:")
    assert "Traceback" not in errors, errors
    return done.returncode, errors, slow.strip()


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_at_once(folder, case):
    arguments, named = BAD_INPUT[case]
    before = sorted(folder.rglob("*"))
    code, errors, slow = answer(folder, *arguments)
    assert (code, slow) == (2, "")
    assert named in errors
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["sweep", "train", "predict", "report", "sample", "export", "replay"])
def test_help_comes_at_once(folder, command):
    assert answer(folder, command, "--help")[::2] == (0, "")
