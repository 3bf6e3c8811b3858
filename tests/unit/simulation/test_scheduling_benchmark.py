"""What the benchmark's table says of its runs, and which methods it can run here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import typer

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "scheduling.py"
SYNE_TUNE = "random, Syne Tune's MOASHA"


@pytest.fixture(scope="module")
def benchmark_script():
    spec = importlib.util.spec_from_file_location("scheduling_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_worse_is_told_by_budget_on_average_and_at_any(benchmark_script):
    random_RB = np.full((4, 4), 0.5)
    worse_RB = random_RB + 0.1
    worse_RB[0, 0] = worse_RB[0, 1] = worse_RB[1, 0] = 0.4
    worse_RB[2, 3] = 0.49  # Within what is let pass.
    line = benchmark_script._summary("a method", worse_RB, random_RB)
    assert line.endswith("50.0% 25.0% 0.0% 0.0%, 18.8%, 50.0%")


def test_half_a_budget_is_held_against_all_of_random_s(benchmark_script):
    random_RB = np.array([[0.1, 0.2, 0.3, 0.4]] * 2)
    line = benchmark_script._summary("m", np.array([[0.1, 0.35, 0.45, 0.5], [0.1, 0.25, 0.45, 0.5]]), random_RB)
    assert " 50% 100% " in line


def test_without_syne_tune_its_method_is_left_out_and_that_is_said(benchmark_script, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_script, "find_spec", lambda name: None)
    names = benchmark_script._known(list(benchmark_script.METHODS))
    assert names == [name for name in benchmark_script.METHODS if name != SYNE_TUNE]
    assert f"left out: {SYNE_TUNE} (syne_tune is not installed)" in capsys.readouterr().out
    monkeypatch.setattr(benchmark_script, "find_spec", lambda name: object())
    assert SYNE_TUNE in benchmark_script._known(list(benchmark_script.METHODS))


def test_an_unknown_method_is_refused_with_the_known_ones(benchmark_script):
    with pytest.raises(typer.BadParameter, match="no method front; there are random; "):
        benchmark_script._known(["front"])
