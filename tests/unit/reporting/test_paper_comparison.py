"""The comparison of a sweep with one of the paper's tables: both numbers, and what differs between the two runs."""

import pandas as pd
import pytest
from page_view import own_markup, texts_in, view_in

from mtbert_ray.journal import read_journal
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.paper_comparison import compare_with_paper, comparison_table


@pytest.fixture
def table7(sweep):
    """`full` with two seeds, `lora-r8` failed, `dora-r8` not run, one of the user's own."""
    own = type(sweep)(sweep.folder.parent / "table7", hyperparameters=("experiment", "seed"), paper_table=7)
    configs = [{"experiment": name, "seed": seed} for name, seed in (("full", 0), ("full", 1), ("mine", 0))]
    own.trial("t0", [0.5, 0.7], config=configs[0], peak_memory_gib=4.0, gpu_utilization_mean=None)
    own.trial("t1", [0.8], config=configs[1], peak_memory_gib=5.0, gpu_utilization_mean=60.0)
    own.trial("t2", [0.1], config=configs[2], peak_memory_gib=1.0)
    own.trial("t3", [0.9], config={"experiment": "lora-r8", "seed": 0}, failed="out of memory")
    return own.finish()


def test_seeds_of_one_experiment_are_a_mean_and_a_range(table7):
    full, lora, dora = compare_with_paper(read_journal(table7)).experiments
    assert full.trial_ids == ("t0", "t1")
    score, memory = (next(q for q in full.quantities if q.metric == m) for m in ("dev_score", "peak_memory_gib"))
    assert (score.paper, score.mean) == (0.756, pytest.approx(0.75))
    assert (score.paper_text, score.ours_text, score.range_text) == ("0.756", "0.750", "0.700 to 0.800")
    assert score.difference_text == "-0.006"
    assert memory.difference == pytest.approx(4.5 - 4750.8 / 1024)
    assert [row.state for row in (full, lora, dora)] == ["2 trials", "no finished trial: failed", "not run"]


def test_what_was_measured_by_some_trials_only_says_so(table7):
    utilization = compare_with_paper(read_journal(table7)).experiments[0].quantities[-1]
    assert (utilization.ours, utilization.range_text) == ((60.0,), "60.0 to 60.0, 1 of 2 trials")


def test_the_notes_name_what_differs_once_and_the_experiments_that_the_paper_lacks(table7):
    first, *others = compare_with_paper(read_journal(table7)).notes
    assert first.count("encoder minilm (the paper: bert-base-uncased)") == 1
    assert first.endswith("(the paper: 1 x A100).")
    assert any("mine" in text for text in others)
    assert any("MiB" in text for text in others)


def test_what_differs_in_one_experiment_only_has_its_name(sweep, paper_config):
    own = type(sweep)(sweep.folder.parent / "table1", hyperparameters=("experiment",), paper_table=1)
    for name, epochs in (("v1", 10), ("v2", 2)):
        own.start(name, fixed={**paper_config(1, name).model_dump(), "epochs": epochs}, experiment=name)
        own.epochs(name, [0.5])
        own.end(name)
    shared, second, *others = compare_with_paper(read_journal(own.finish())).notes
    assert shared.endswith("(the paper: 1 x T4 for v1, not given for v2).") and "epochs" not in shared
    assert second.startswith("v2") and "epochs 2 (the paper: 10)" in second
    assert not any("first stage" in text or text.startswith("v1") for text in others)


def test_a_mean_over_more_than_seeds_says_so(sweep, paper_config):
    own = type(sweep)(sweep.folder.parent / "wide", hyperparameters=("experiment", "learning_rate"), paper_table=1)
    fixed = paper_config(1, "v1").model_dump(exclude={"experiment", "learning_rate"})
    for index, rate in enumerate((1e-5, 2e-5)):
        own.start(f"t{index}", fixed=fixed, experiment="v1", learning_rate=rate)
        own.epochs(f"t{index}", [0.5])
        own.end(f"t{index}")
    v1, _ = compare_with_paper(read_journal(own.finish())).experiments
    assert v1.state.startswith("2 trials") and "learning_rate" in v1.state
    assert v1.differences == ("learning_rate 2e-05 (the paper: 1e-05) in 1 of 2 trials",)


def test_a_first_stage_is_not_passed_over(sweep, paper_config):
    own = type(sweep)(sweep.folder.parent / "table4", hyperparameters=("experiment",), paper_table=4)
    name = "all-then-heads-on-sample"
    own.start(name, fixed=paper_config(4, name).model_dump(), experiment=name)
    own.epochs(name, [0.5])
    own.end(name)
    assert any("first stage" in text for text in compare_with_paper(read_journal(own.finish())).notes)


def test_table_9_is_the_test_leaderboard_s(sweep):
    own = type(sweep)(sweep.folder.parent / "table9", paper_table=9)
    assert any("test leaderboard" in text for text in compare_with_paper(read_journal(own.finish())).notes)


@pytest.mark.parametrize("space", [{}, {"paper_table": None}, {"paper_table": 77}])
def test_other_sweeps_have_no_such_section(sweep, space):
    own = type(sweep)(sweep.folder.parent / "other", **space)
    own.trial("t0", [0.7], peak_memory_gib=1.0)
    page = write_report(own.finish())
    assert view_in(page)["comparison"] is None
    assert "Comparison with the paper" not in (page.parent / "report.md").read_text()
    assert not (page.parent / "paper_comparison.csv").exists()


def test_the_pages_show_it_right_after_the_answer(table7):
    page = write_report(table7)
    markdown = (table7 / "report.md").read_text()
    places = [markdown.index(f"## {name}") for name in ("Result", "Comparison with the paper", "Objectives")]
    assert places == sorted(places)
    places = [own_markup(page).index(f'<section id="{name}"') for name in ("answer", "paper", "front")]
    assert places == sorted(places)
    for shown in (texts_in(page), markdown):
        assert "0.700 to 0.800" in shown and "v2, DoRA of rank 8" in shown and "not run" in shown
    assert "| lora-r8 | v2, LoRA of rank 8 | no finished trial: failed | paper 0.473 |" in markdown


def test_the_csv_has_the_numbers_unrounded_and_gaps_empty(table7):
    write_report(table7)
    written = pd.read_csv(table7 / "paper_comparison.csv").set_index("experiment")
    made = comparison_table(compare_with_paper(read_journal(table7))).set_index("experiment")
    assert written.loc["full", "dev_score_difference"] == made.loc["full", "dev_score_difference"]
    assert written.loc["full", ["peak_memory_gib_ours_lowest", "peak_memory_gib_ours_highest"]].tolist() == [4, 5]
    assert written.loc["dora-r8", "dev_score_paper"] == 0.733
    assert pd.isna(written.loc["dora-r8", "dev_score_ours"])
    assert written.loc["full", "trials"] == "t0 t1"
