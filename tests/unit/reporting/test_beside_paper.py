"""A sweep of one of the paper's tables: its numbers beside ours, and what differs between the two runs."""

import html
import re

import pandas as pd
import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.records import read_journal
from mtbert_ray.reporting.beside_paper import beside_paper, beside_table
from mtbert_ray.reporting.departures import departures_of, hardware_in_words
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.published import PublishedRow, published_rows

AS_THE_PAPER = {
    "encoder": "bert-base-uncased",
    "epochs": 20,
    "batch_size": 128,
    "data.source": "course",
    "data.directory": "data",
}


def row(table: int, experiment: str) -> PublishedRow:
    return next(row for row in published_rows(table) if row.experiment == experiment)


def departures(published: PublishedRow, **dotted) -> tuple[str, ...]:
    config = TrialConfig.model_validate(nest({**AS_THE_PAPER, **dotted}))
    return departures_of(config.model_dump(mode="json"), published)


# The paper's numbers


@pytest.mark.parametrize("table", range(1, 10))
def test_each_table_s_mean_is_the_one_that_its_rows_give(table):
    """Which tells that `score_name` is right: the two means are some 0.05 apart."""
    for published in published_rows(table):
        sst, quora, sts = (published.metrics[name] for name in ("sst", "quora", "sts"))
        mean = published.metrics[published.score_name]
        on_leaderboard = published.score_name == "leaderboard_score"
        assert mean is None or mean == pytest.approx(
            (sst + quora + ((sts + 1) / 2 if on_leaderboard else sts)) / 3, abs=0.0021
        )


def test_the_paper_s_costs_are_in_our_units():
    full = row(7, "full")
    assert full.metrics["train_seconds"] == 2 * 3600 + 3 * 60
    assert full.metrics["peak_memory_gib"] == pytest.approx(4750.8 / 1024)
    assert full.metrics["gpu_utilisation_mean"] == 53.91
    assert row(1, "v1").metrics["peak_memory_gib"] is None
    assert published_rows(10) == ()


# What differs


def test_a_run_as_the_paper_s_has_nothing_that_differs():
    assert departures(row(7, "full")) == ()
    assert departures(row(8, "full"), **{"resources.num_workers": 8}) == ()
    assert departures(row(4, "sample"), epochs=10, **{"data.train_files": {"quora": "sample.csv"}}) == ()
    assert departures(row(7, "full"), encoder="models/bert-base-uncased") == ()


def test_everything_that_differs_is_said():
    small = {"encoder": "minilm", "epochs": 1, "data.max_train_rows": 1000, "data.max_dev_rows": 200}
    assert departures(row(8, "full"), **small) == (
        "encoder minilm (the paper: bert-base-uncased)",
        "at most 1,000 training rows a task (the paper: all)",
        "at most 200 dev rows a task (the paper: all)",
        "1 epoch (the paper: 20)",
        "1 worker (the paper: 8)",
    )


@pytest.mark.parametrize(
    ("published", "setting", "told"),
    [
        (row(5, "hl3-lr1e-5-bs16-do0.3-e10"), {"epochs": 10}, "Quora rows not chosen by topic"),
        (row(5, "hl3-lr2e-5-bs32-do0.4-e20"), {"epochs": 10}, "10 epochs (the paper: 20)"),
        (row(1, "v1"), {"data.source": "toy", "epochs": 10}, "the generated toy corpus"),
        (row(1, "v1"), {"data.max_train_rows": {"quora": 5000, "sts": 10}}, "at most 5,000 of quora and 10 of sts"),
        (
            row(2, "smart-sst-k250"),
            {"smart": {"tasks": ["sst"], "steps": 1}},
            "1 ascent step of SMART (the paper: 250)",
        ),
    ],
)
def test_what_a_table_does_in_its_own_way_is_known(published, setting, told):
    assert any(text.startswith(told) for text in departures(published, **setting))


def test_the_hardware_is_the_gpus_or_else_the_processor():
    assert hardware_in_words({"gpus": "NVIDIA X, NVIDIA X", "processor": "P"}) == "NVIDIA X, NVIDIA X"
    assert hardware_in_words({"gpus": None, "processor": "P", "cores": 2}) == "no GPU; P, 2 cores"
    assert hardware_in_words({}) == "no GPU; a processor of unknown kind"


# Beside each other


@pytest.fixture
def table7(sweep):
    """`full` with two seeds, `lora-r8` failed, `dora-r8` not run, one of the user's own."""
    own = type(sweep)(sweep.folder.parent / "table7", hyperparameters=("experiment", "seed"), paper_table=7)
    settings = [{"experiment": name, "seed": seed} for name, seed in (("full", 0), ("full", 1), ("mine", 0))]
    own.trial("t0", [0.5, 0.7], setting=settings[0], peak_memory_gib=4.0, gpu_utilisation_mean=None)
    own.trial("t1", [0.8], setting=settings[1], peak_memory_gib=5.0, gpu_utilisation_mean=60.0)
    own.trial("t2", [0.1], setting=settings[2], peak_memory_gib=1.0)
    own.trial("t3", [0.9], setting={"experiment": "lora-r8", "seed": 0}, failed="out of memory")
    return own.finish()


def test_seeds_of_one_experiment_are_a_mean_and_a_range(table7):
    full, lora, dora = beside_paper(read_journal(table7)).experiments
    assert full.trial_ids == ("t0", "t1")
    score, memory = (next(q for q in full.quantities if q.metric == m) for m in ("dev_score", "peak_memory_gib"))
    assert (score.paper, score.mean) == (0.756, pytest.approx(0.75))
    assert (score.paper_text, score.ours_text, score.range_text) == ("0.756", "0.750", "0.700 to 0.800")
    assert score.difference_text == "-0.006"
    assert memory.difference == pytest.approx(4.5 - 4750.8 / 1024)
    assert [row.state for row in (full, lora, dora)] == ["2 trials", "no finished trial: failed", "not run"]


def test_what_was_measured_by_some_trials_only_says_so(table7):
    utilisation = beside_paper(read_journal(table7)).experiments[0].quantities[-1]
    assert (utilisation.ours, utilisation.range_text) == ((60.0,), "60.0 to 60.0, 1 of 2 trials")


def test_the_sentences_say_what_differs_once_and_whose_numbers_are_not_there(table7):
    first, *others = beside_paper(read_journal(table7)).sentences
    assert first.startswith("Our runs differ from the paper's in: encoder minilm (the paper: bert-base-uncased); ")
    assert (
        "hardware no GPU; a processor of unknown kind, 2 cores" in first.replace("cpus", "cores") or "no GPU" in first
    )
    assert "Not in the paper's table: mine." in others
    assert any("without saying which" in text for text in others)


def test_what_only_one_experiment_departs_in_stands_with_its_name(sweep):
    own = type(sweep)(sweep.folder.parent / "table1", hyperparameters=("experiment",), paper_table=1)
    for name, epochs in (("v1", 10), ("v2", 2)):
        own.start(name, fixed={"epochs": epochs}, experiment=name)
        own.epochs(name, [0.5])
        own.end(name)
    sentences = beside_paper(read_journal(own.finish())).sentences
    assert "v2 besides in: 2 epochs (the paper: 10)." in sentences
    assert not any(text.startswith("v1") for text in sentences)


def test_a_mean_over_more_than_seeds_says_so(sweep):
    own = type(sweep)(sweep.folder.parent / "wide", hyperparameters=("experiment", "learning_rate"), paper_table=1)
    for index, rate in enumerate((1e-5, 2e-5)):
        own.trial(f"t{index}", [0.5], setting={"experiment": "v1", "learning_rate": rate})
    assert beside_paper(read_journal(own.finish())).experiments[0].state == (
        "2 trials that differ in learning_rate as well"
    )


def test_table_9_is_the_test_leaderboard_s(sweep):
    own = type(sweep)(sweep.folder.parent / "table9", paper_table=9)
    assert any(
        "test leaderboard; ours are dev scores" in text for text in beside_paper(read_journal(own.finish())).sentences
    )


@pytest.mark.parametrize("space", [{}, {"paper_table": None}, {"paper_table": 77}])
def test_other_sweeps_have_no_such_section(sweep, space):
    own = type(sweep)(sweep.folder.parent / "other", **space)
    own.trial("t0", [0.7], peak_memory_gib=1.0)
    page = write_report(own.finish())
    assert "Beside the paper" not in page.read_text()
    assert not (page.parent / "beside_paper.csv").exists()


def test_the_pages_show_it_right_after_the_answer(table7):
    page = write_report(table7).read_text()
    markdown = (table7 / "report.md").read_text()
    for text, heading in ((page, "<h2>{}</h2>"), (markdown, "## {}")):
        places = [text.index(heading.format(name)) for name in ("The answer", "Beside the paper", "What was asked")]
        assert places == sorted(places)
        told = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
        assert "0.700 to 0.800" in told and "v2, DoRA of rank 8" in told and "not run" in told
    assert "| lora-r8 | v2, LoRA of rank 8 | no finished trial: failed | paper 0.473 |" in markdown


def test_the_csv_has_the_numbers_unrounded_and_gaps_empty(table7):
    write_report(table7)
    written = pd.read_csv(table7 / "beside_paper.csv").set_index("experiment")
    made = beside_table(beside_paper(read_journal(table7))).set_index("experiment")
    assert written.loc["full", "dev_score_difference"] == made.loc["full", "dev_score_difference"]
    assert written.loc["full", ["peak_memory_gib_ours_lowest", "peak_memory_gib_ours_highest"]].tolist() == [4, 5]
    assert written.loc["dora-r8", "dev_score_paper"] == 0.733
    assert pd.isna(written.loc["dora-r8", "dev_score_ours"])
    assert written.loc["full", "trials"] == "t0 t1"
