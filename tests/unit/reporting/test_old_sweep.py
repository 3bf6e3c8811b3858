"""The report of a journal that an earlier version wrote, with keys, directions and metrics of other names."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

JOURNAL = Path(__file__).parent / "old_sweep" / "journal.jsonl"
OLD_NAMES = ("maximise", "minimise", "without_gpu", "gpu_utilisation_mean", "gpu_utilisation_peak")


def test_a_report_is_written_with_one_warning_a_name(tmp_path):
    shutil.copy(JOURNAL, tmp_path)
    command = [sys.executable, "-m", "mtbert_ray.report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert [sum(name in line for line in warnings) for name in OLD_NAMES] == [1] * len(OLD_NAMES) == [1] * len(warnings)
    trials = pd.read_csv(tmp_path / "trials.csv").set_index("trial_id")
    assert trials["status"].to_dict() == dict.fromkeys(["t001", "t000", "t002"], "finished")
    assert trials["on_front"].tolist() == [True, True, False]
    assert {"gpu_utilization_mean", "peak_rss_gib", "adapter.kind"} <= set(trials.columns)
    page, markdown = (tmp_path / "index.html").read_text(), (tmp_path / "report.md").read_text()
    for old_name in OLD_NAMES:
        assert old_name not in page + markdown
