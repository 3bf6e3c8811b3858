"""A share of what `scripts/fuzz` tries: damaged and made-up files are refused in a line, or read right."""

from collections.abc import Callable
from pathlib import Path

import fuzz_checkpoints
import fuzz_data_files
import fuzz_dev_predictions
import fuzz_journals
import fuzz_spaces
import fuzz_token_caches
import pytest


@pytest.mark.parametrize(
    ("run", "count", "needed"),
    [
        pytest.param(fuzz_spaces.run, 60, ("refused", "accepted: another"), id="spaces"),
        pytest.param(fuzz_data_files.run, 60, ("csv: refused", "csv: accepted"), id="data files"),
        pytest.param(fuzz_journals.run, 28, ("damaged: refused", "made up: reported"), id="journals"),
        pytest.param(fuzz_checkpoints.run, 32, ("bytes", "made up", "no digest"), id="checkpoints"),
        pytest.param(fuzz_token_caches.run, 30, ("bytes", "other ids"), id="token caches"),
        pytest.param(fuzz_dev_predictions.run, 200, ("bytes: refused", "made up: refused"), id="dev predictions"),
    ],
)
def test_damaged_files_are_refused_or_read_right(tmp_path: Path, run: Callable, count: int, needed: tuple[str, ...]):
    outcomes = run(count, 0, tmp_path)
    assert outcomes.total() == count
    for start in needed:  # What none of the cases came to was not tried.
        assert any(start in outcome for outcome in outcomes), (start, outcomes)
