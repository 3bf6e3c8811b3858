"""Runs the commands: in this process, or as a user does, in one of their own that takes seconds to import torch."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from typer.testing import CliRunner, Result

ROOT = Path(__file__).parents[2]

TINY_SPACE = """\
name: tiny
objectives:
  dev_score: {direction: maximize, reference: 0.0}
  train_seconds: {direction: minimize, reference: 600}
fixed:
  encoder: tiny
  epochs: 2
  data.max_train_rows: 40
  data.max_dev_rows: 30
search:
  learning_rate: {grid: [1e-3, 3e-3]}
  adapter.kind: {grid: [none, lora]}
algorithm: grid
scheduler: fifo
"""
ONE_AT_A_TIME = "resources: {concurrent_trials: 1}\n"
"""For a test that has no use for a second process, whose imports alone take ten seconds of a core."""


def invoke(module: str, *arguments: object) -> Result:
    """Run a command in this process. A sweep that comes to its trials needs `--address` of a Ray that runs."""
    app = import_module(f"mtbert_ray.{module}").app
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def options(**values: object) -> list[str]:
    """Return `--set` for each value; two underscores in a name stand for a dot."""
    pairs = [f"{name.replace('__', '.')}={value}" for name, value in values.items()]
    return [text for pair in pairs for text in ("--set", pair)]


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"mtbert_ray.{module}", *map(str, arguments)]


def run(module: str, *arguments: object, timeout: float = 300, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.run(
        command(module, *arguments), capture_output=True, text=True, timeout=timeout, cwd=folder, env=environment
    )
