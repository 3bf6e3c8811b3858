"""A disk that fills up at any moment of a sweep: it ends in a line, blames no trial, and is resumed to the full set."""

import json

import pytest
from small_disk import run_on_small_disk

NUM_TRIALS = 3
SCRIPT = "import full_disk_sweep; full_disk_sweep.main()"
MOMENTS = {
    "journal": "journal/journal.",
    "space.yaml": "",
    "config.yaml": "trials/t001/config.yaml",
    "epoch": "",
    "epoch without a reserve": "",
    "weights": "checkpoint/model.safetensors",
    "metrics.json": "checkpoint/metrics.json",
    "tensorboard": "tensorboard/t00",
    "first tensorboard": "tensorboard/t000",
    "error.txt": "trials/t001/error.txt",
    "last error.txt": "trials/t002/error.txt",
    "trial's end": "",
    "last trial's end": "",
    "sweep's end": "",
    "report": "report/figures/",
}
"""Moment of `full_disk_sweep` -> a part of the path that the line names; none where a few bytes may still find room."""

AT_THE_END = ("last trial's end", "sweep's end")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("full")
    printed = run_on_small_disk(folder / "disk", "64m", SCRIPT, folder)
    found = {each["moment"]: each for each in map(json.loads, printed.splitlines())}
    assert list(found) == list(MOMENTS)
    return found


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_ends_in_order_and_with_room_it_comes_to_the_full_set(outcomes, moment):
    outcome = outcomes[moment]
    first, then = outcome["first"], outcome["then"]
    journal = first["journal"]
    if moment in AT_THE_END and first["code"] == 0:
        assert first["err"] == [], "the last lines found room in a page, and the report in the reserve"
    else:
        [line] = first["err"]
        assert first["code"] == 4 and "No space left on device; " in line and MOMENTS[moment] in line
    if journal:
        assert not journal["torn"] and journal["half written"] == []
        failed = {"error.txt": {"t001"}, "last error.txt": {"t002"}}.get(moment, set())
        assert {trial for trial, status in journal["status"].items() if status.startswith("failed")} == failed
        ends = {"disk_full", None} if moment.endswith("without a reserve") else {"disk_full"}
        assert journal["end"] in (ends if journal["left"] else {"completed"})
        assert any("--resume" in text for text in first["out"]) == (journal["left"] > 0)
        assert journal["finishes"] == then["journal"]["finishes"][: len(journal["finishes"])]
    assert then["code"] == 0 and then["report"]
    assert len(then["journal"]["status"]) == NUM_TRIALS and then["journal"]["left"] == 0
    ended = [trial for trial, status in then["journal"]["status"].items() if status == "finished"]
    assert sorted(then["journal"]["finishes"]) == ended, "each trial ends once"
    if moment == "report":  # Its space has keep_checkpoints: best.
        assert len(outcome["checkpoints"]) == 1
    else:
        assert outcome["checkpoints"] == ended
    assert then["journal"]["end"] == "completed"
