"""A journal whose trials have whole curves, and the folder of the benchmark."""

import os
from pathlib import Path

import pytest
from recorded_sweep import RecordedSweep

ROOT = Path(__file__).parents[3]


@pytest.fixture
def sweep(tmp_path) -> RecordedSweep:
    return RecordedSweep(tmp_path / "sweep")


@pytest.fixture
def graded(sweep) -> Path:
    """Nine trials of nine epochs: t0 is best in every respect, each later one worse in both."""
    for place in range(9):
        top = 0.9 - 0.1 * place
        rate = 1e-5 * 10 ** (place / 4)
        values = {"learning_rate": rate, "adapter.kind": "none"}
        scores = [top * (epoch + 1) / 10 for epoch in range(9)]
        sweep.trial(f"t{place}", scores, seconds=10.0 + place, values=values)
    return sweep.finish()


@pytest.fixture(scope="session")
def bench_dir() -> Path:
    """The folder with LCBench's surrogate. A test that needs it skips where it is absent, and fails in CI."""
    pytest.importorskip("onnxruntime", reason="the surrogate needs onnxruntime: pip install 'mtbert-ray[bench]'")
    folder = Path(os.environ.get("BENCH_DIR", ROOT.parent / "shared" / "bench"))
    if (folder / "lcbench" / "model.onnx").exists():
        return folder
    message = f"LCBench's surrogate is not in {folder}; set BENCH_DIR to the folder that holds lcbench/"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
