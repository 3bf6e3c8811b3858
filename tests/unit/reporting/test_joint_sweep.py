"""The report of several sweeps: joint front, one reference, what differs."""

import html
import re

import pandas as pd
import pytest

from mtbert_ray.errors import UserError
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.joint_document import joint_front_drawings, write_joint_report
from mtbert_ray.reporting.joint_sweep import join_sweeps

LORA = {"adapter__kind": "lora", "adapter__rank": 8, "learning_rate": 1e-5}


@pytest.fixture
def two(sweep):
    """Full against LoRA: both have trials on the joint front, `full/t1` is on its own front alone."""
    full = type(sweep)(sweep.folder.parent / "full", fixed={"epochs": 2}, algorithm="random")
    full.trial("t0", [0.6, 0.8], peak_memory_gib=5.0)
    full.trial("t1", [0.5, 0.6], peak_memory_gib=4.0)
    full.trial("t2", [0.9, 0.9], peak_memory_gib=7.0)  # Over the constraint.
    looser = {
        "dev_score": Objective(direction="maximize", reference=0.0),
        "peak_memory_gib": Objective(direction="minimize", reference=80.0),
    }
    lora = type(sweep)(sweep.folder.parent / "lora", objectives=looser, fixed={"epochs": 1}, algorithm="random")
    lora.trial("t0", [0.7], peak_memory_gib=3.0, config=LORA)
    lora.start("t1", **LORA)
    return full.finish(), lora.folder


def joined(folders):
    return join_sweeps({folder: read_journal(folder) for folder in folders})


def test_the_joint_front_is_by_the_first_sweeps_objectives(two):
    joint = joined(two)
    assert [(member.sweep, member.trial_id) for member in joint.front] == [("full", "t0"), ("lora", "t0")]
    assert joint.front[1].config == "adapter.kind lora, adapter.rank 8, learning_rate 1e-05"
    full, lora = joint.summaries
    assert (full.on_own_front, full.on_joint_front, lora.on_own_front, lora.on_joint_front) == (2, 1, 1, 1)
    assert full.best == ("0.800", "4.00 GiB")
    # Of the reference 0.4 and 8 GiB: 0.4 x 3 + 0.2 x 1, 0.3 x 5, and together 0.3 x 5 + 0.1 x 3.
    assert (full.hypervolume, lora.hypervolume) == ("1.4, 77.8% of all", "1.5, 83.3% of all")
    assert joint.notes == ("lora has no end yet: it is still running, or it was killed.",)


def test_the_other_order_has_the_other_reference_and_constraint(two):
    lora, full = joined(reversed(two)).summaries
    assert (lora.name, full.on_own_front) == ("lora", 3)  # 7 GiB are not too much here.
    assert full.best == ("0.900", "4.00 GiB")


def test_what_differs_is_named_and_what_does_not_is_left_out(two):
    found = {difference.key: difference.values for difference in joined(two).differences}
    assert found["epochs"] == ("2", "1")
    assert found["objective dev_score"] == ("maximize, reference 0.400", "maximize, reference 0.000")
    assert found["objective peak_memory_gib"][0] == "minimize, reference 8.00 GiB, constraint 6.00 GiB"
    assert not {"algorithm", "tasks", "adapter.kind", "version of torch"} & set(found)


def test_a_key_that_one_sweep_searches_stands_beside_the_others_value(sweep):
    one = type(sweep)(sweep.folder.parent / "one", search={"dropout": {"kind": "uniform", "low": 0, "high": 0.5}})
    two = type(sweep)(sweep.folder.parent / "two", search={})
    for each in (one, two):
        each.trial("t0", [0.7], peak_memory_gib=3.0)
    (difference,) = joined([one.folder, two.folder]).differences
    assert (difference.key, difference.values) == ("dropout", ("searched: uniform, low 0, high 0.5", "0.3"))


def test_each_sweep_has_its_line_and_color(two):
    (drawing,) = joint_front_drawings(joined(two).outcome)
    (axes,) = drawing.figure.axes
    lines = {line.get_color(): line.get_ydata() for line in axes.lines if line.get_linestyle() == "-"}
    assert max(lines["#0072B2"]) == pytest.approx(0.8)
    assert max(lines["#D55E00"]) == pytest.approx(0.7)
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["sweep full", "sweep lora"]


def test_the_report_has_both_and_is_replaced_by_a_later_one(two, tmp_path, pictures):
    out = tmp_path / "both"
    index = write_joint_report(two, out)
    page = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", index.read_text())).split())
    markdown = (out / "report.md").read_text()
    for text in ("77.8% of all", "no end yet", "minimize, reference 8.00 GiB, constraint 6.00 GiB"):
        assert text in page and text in markdown
    assert "<b>" not in index.read_text()
    assert (out / "figures" / "front-dev_score-vs-peak_memory_gib.png").read_bytes().startswith(b"\x89PNG")
    trials = pd.read_csv(out / "trials.csv")
    assert trials["trial_id"].tolist() == ["full/t0", "full/t1", "full/t2", "lora/t0", "lora/t1"]
    assert trials["sweep"].tolist() == ["full"] * 3 + ["lora"] * 2
    write_joint_report(two[::-1], out)
    assert "lora and full" in index.read_text()


def test_sweeps_of_one_name_are_told_apart_by_their_folders(two):
    assert [summary.name for summary in joined(two).summaries] == ["full", "lora"]  # Both are called `budget <b>`.


def test_a_folder_with_something_else_in_it_is_not_written_into(two):
    with pytest.raises(UserError, match="is not empty"):
        write_joint_report(two, two[0])


def test_a_sweep_named_twice_is_refused(two, tmp_path):
    with pytest.raises(UserError, match="named twice"):
        write_joint_report([two[0], two[0] / ".." / "full"], tmp_path / "out")


def test_sweeps_without_a_common_objective_are_refused(two, sweep):
    other = type(sweep)(
        sweep.folder.parent / "other", objectives={"energy_kj": Objective(direction="minimize", reference=1.0)}
    )
    with pytest.raises(UserError, match=r"no objective of the first has values.*other: energy_kj"):
        joined([two[0], other.folder])


def test_an_objective_that_one_sweep_never_measured_is_left_out_and_named(two, sweep):
    other = type(sweep)(sweep.folder.parent / "other")
    other.trial("t0", [0.7], peak_memory_gib=None)
    joint = joined([two[0], other.finish()])
    assert joint.objectives == ("dev score",)
    assert "Not compared, as a sweep has no finished trial with a value: peak memory." in joint.notes


def test_a_score_that_one_sweep_wanted_low_is_noted(two, sweep):
    other = type(sweep)(
        sweep.folder.parent / "other", objectives={"dev_score": Objective(direction="minimize", reference=1.0)}
    )
    other.trial("t0", [0.7], peak_memory_gib=2.0)
    joint = joined([two[0], other.finish()])
    assert "other was to minimize dev score; here it is to maximize." in joint.notes
