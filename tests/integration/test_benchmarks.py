"""The benchmarks of speed run from start to table: with a tiny encoder, whose numbers say nothing."""

import subprocess
import sys

import pytest
from command_line import ROOT


def benchmark(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / name, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_throughput_lets_every_trainer_train_and_prints_its_ratio():
    small = ("--encoder", "tiny", "--batch-size", 4, "--steps", 3, "--warm-up-steps", 1, "--dev-rows", 8)
    done = benchmark("throughput.py", *small, "--repeats", 2, "--run", "sst", "--run", "quora-lora")
    assert done.returncode == 0, done.stderr
    tables = done.stdout.strip().split("\n\n")
    assert [table.splitlines()[0].split(":")[0] for table in tables] == ["sst", "quora-lora"]
    for table in tables:
        rows = {line[:28].strip(): line[28:].split() for line in table.splitlines()[2:7]}
        assert list(rows) == [
            "mtbert_ray",
            "HF Trainer",
            "HF Trainer, by length",
            "sentence-transformers style",
            "course code, padded to 128",
        ]
        # samples/s, (min to max), the ratio to ours.
        speeds = {name: float(cells[0]) for name, cells in rows.items()}
        assert all(speed > 0 for speed in speeds.values())
        assert rows["mtbert_ray"][4] == "1.00x"
        assert rows["course code, padded to 128"][4].endswith("x")
        assert "arithmetic of a row: " in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run", "imdb"), "imdb; there are sst, quora"),
        (("--trainer", "Keras"), "Keras; there are mtbert_ray, HF Trainer"),
        (("--encoder", "tiny", "--run", "sst", "--batch-size", 7, "--steps", 10_000), "rows: too few"),
    ],
)
def test_throughput_refuses_what_it_cannot_measure(arguments, message):
    done = benchmark("throughput.py", *arguments)
    assert done.returncode == 2 and message in " ".join(done.stderr.split())
