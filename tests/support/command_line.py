"""Runs the command line as a user does: in a process of its own, with a real Ray where a sweep is run."""

import os
import subprocess
import sys
from pathlib import Path

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


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"mtbert_ray.{module}", *map(str, arguments)]


def run(module: str, *arguments: object, timeout: float = 300, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.run(
        command(module, *arguments), capture_output=True, text=True, timeout=timeout, cwd=folder, env=environment
    )
