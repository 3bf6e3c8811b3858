"""The benchmarks of speed run from start to table: with a tiny encoder, whose numbers say nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from command_line import ROOT
from torch import nn


def test_throughput_lets_every_trainer_train_and_prints_its_ratio(benchmark):
    small = ("--encoder", "tiny", "--batch-size", 4, "--steps", 3, "--warm-up-steps", 1, "--dev-rows", 8)
    done = benchmark("throughput", *small, "--repeats", 2, "--run", "sst", "--run", "quora-lora")
    assert done.exit_code == 0, (done.output, done.exception)
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
        ratios = {name: float(cells[4].removesuffix("x")) for name, cells in rows.items()}
        assert ratios["mtbert_ray"] == 1.0 and all(0.01 < ratio < 100 for ratio in ratios.values())
        assert "arithmetic of a row: " in table


def test_throughput_takes_our_compiled_encoder_as_one_more_trainer(benchmark):
    done = benchmark("throughput", "--help")
    assert "mtbert_ray, compiled" in " ".join(done.stdout.replace("│", " ").split())


@pytest.mark.parametrize(("adapter", "flops_a_token"), [("none", 6 * 128), ("lora", 4 * 128 + 6 * (2 * 8 + 2 * 16))])
def test_a_frozen_layer_needs_two_thirds_of_a_trained_one_s_arithmetic(adapter, flops_a_token, monkeypatch):
    """One layer of 8 inputs and 16 outputs; under LoRA of rank 2 with its two matrices."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from rivals.arithmetic import flops_of_row

    layer = nn.Linear(8, 16)
    encoder = nn.ModuleDict({"layer": layer, "pooler": nn.Linear(8, 8)})
    if adapter == "lora":
        layer.requires_grad_(False)
        encoder.update({"lora_A": nn.Linear(8, 2), "lora_B": nn.Linear(2, 16)})
    assert flops_of_row(encoder, SimpleNamespace(lengths=np.array([10, 20]))) == 15 * flops_a_token


def test_heads_only_compares_both_ways_over_the_same_scores(benchmark):
    done = benchmark("heads_only", "--encoder", "tiny", "--rows", 40, "--dev-rows", 20, "--rounds", 2)
    assert done.exit_code == 0, (done.output, done.exception)
    cached, uncached, _, ratio, scores = done.stdout.strip().splitlines()
    assert cached.startswith("with cache") and uncached.startswith("without")
    assert float(ratio.split()[0]) > 1
    assert scores == "dev scores differ by 0.00000 at most"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--run", "imdb"), "imdb; there are sst; quora"),
        (("--trainer", "Keras"), "Keras; there are mtbert_ray; "),
        (("--encoder", "tiny", "--run", "sst", "--steps", 10_000), "sst has only"),
        (("--encoder", "tiny", "--run", "sst", "--steps", 3, "--warm-up-steps", 3), "of 3 steps none is left"),
        (("--rows", 5), "--rows 5 are no batch of 32"),
        (("--trainer", "mtbert_ray, compiled"), "give --warm-up-steps"),
        (("--encoder", "nosuch"), "encoder 'nosuch' cannot be loaded"),
        (("--encoder", "tiny", "--data", "nowhere"), "must be the folder of the course's files"),
    ],
)
def test_throughput_refuses_what_it_cannot_measure(benchmark, arguments, message):
    done = benchmark("throughput", *arguments)
    assert done.exit_code == 2 and message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_the_cost_of_a_state_is_printed(benchmark):
    done = benchmark("run_state", "--encoder", "tiny", "--rows", 20, "--dev-rows", 10, "--rounds", 1)
    assert done.exit_code == 0, (done.output, done.exception)
    size, epoch, saving, loading, memory, peaks = done.stdout.strip().splitlines()
    assert float(size.split()[1]) > 0 and float(saving.split()[1]) > 0
    assert epoch.startswith("an epoch of 20 rows") and loading.startswith("loading") and memory.endswith("is saved")
    assert peaks.startswith("peak_rss_gib of two epochs") and peaks.endswith("restored after the first")
