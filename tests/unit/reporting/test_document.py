import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from page_view import own_markup, texts_in, view_in

from mtbert_ray.errors import JournalError, UserError
from mtbert_ray.events import EpochFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.document import markdown_text, write_report
from mtbert_ray.reporting.tables import trial_table

LOSSLESS = {"dtype": {"trial_id": str}, "keep_default_na": False, "na_values": [""]}


def test_all_files_are_there_and_the_markdown_points_to_them(eight_trials, pictures):
    index = write_report(eight_trials)
    assert index == eight_trials / "index.html"
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (eight_trials / "report.md").read_text())
    assert len(linked) == 5
    for picture in linked:
        assert (eight_trials / picture).read_bytes().startswith(b"\x89PNG")
    assert not list(eight_trials.rglob("*.tmp"))
    # Self-contained: works from disk, asks nobody for anything.
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', own_markup(index)) == ["data:,", "trials.csv", "pareto.csv"]
    assert "http" not in re.sub(r'http-equiv="', "", own_markup(index))


def test_the_result_names_the_knee_and_its_trade_offs(eight_trials):
    page = texts_in(write_report(eight_trials))
    assert "3 of 5 finished trials are on the front." in page
    knee = "t1 (adapter.kind lora, adapter.rank 8, learning_rate 1e-05): dev score 0.730 and peak memory 2.90 GiB"
    assert knee in page
    assert "0.020 less dev score than t0, for 1.90 GiB less peak memory" in page
    assert "0.40 GiB more peak memory than t3, for 0.080 more dev score" in page


def test_commands_quote_the_folder_and_need_a_checkpoint_to_predict(eight_trials, monkeypatch):
    monkeypatch.chdir(eight_trials.parent)
    trials = {trial["id"]: trial for trial in view_in(write_report(eight_trials))["trials"]}
    train, predict = (
        "python -m mtbert_ray.train --config 'a sweep/trials/t1/config.yaml'",
        "python -m mtbert_ray.predict 'a sweep/trials/t1/checkpoint'",
    )
    assert (trials["t1"]["train_command"], trials["t1"]["predict_command"]) == (train, predict)
    assert trials["t3"]["predict_command"] is None  # kept none
    markdown = (eight_trials / "report.md").read_text()
    assert train in markdown and predict in markdown and "t3/config.yaml" in markdown
    assert "t3/checkpoint" not in markdown
    assert "t2/config.yaml" not in markdown  # not on the front


def test_a_folder_elsewhere_is_named_as_given(eight_trials, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert f"'{eight_trials}/trials/t0/config.yaml'" in texts_in(write_report(eight_trials))


def test_a_failed_trials_reason_is_shown_and_cannot_do_anything(eight_trials):
    page = write_report(eight_trials)
    assert "<script>alert('x')</script> | `rm` & 2 GiB too much" in texts_in(page)
    markup, markdown = own_markup(page), (eight_trials / "report.md").read_text()
    assert "<script>alert" not in markup
    assert "<b>" not in re.sub(r"`[^`]*`", "", markup)  # the sweep's name holds one
    assert "<script>" not in markdown
    assert "alert('x')&lt;/script&gt; \\| \\`rm\\` &amp; 2 GiB too much" in markdown


def test_html_is_balanced(eight_trials):
    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "img", "br", "link", "input"}:
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(own_markup(write_report(eight_trials)))
    assert parser.open == []


def test_notes_state_and_environment_are_shown(eight_trials):
    page = texts_in(write_report(eight_trials))
    for piece in (
        "state interrupted",
        "trials planned 8",
        "finished 6",
        "failed 1",
        "Dev rows: 200 a task.",
        "1 finished trial could not be compared: an objective was not measured.",
        "torch 2.13.0",
        "not from a checkout",
        "7 min 5 s",
    ):
        assert piece in page


@pytest.mark.parametrize("name", ["trials.csv", "pareto.csv"])
def test_csv_is_read_back_without_loss(eight_trials, name):
    write_report(eight_trials)
    table = trial_table(read_journal(eight_trials))
    if name == "pareto.csv":
        table = table.set_index("trial_id", drop=False).loc[["t0", "t1", "t3"]]
    back = pd.read_csv(eight_trials / name, **LOSSLESS)
    assert list(back.columns)[: len(table.columns)] == list(table.columns)
    for column in table.columns:
        before, after = table[column].tolist(), back[column].tolist()
        assert [None if pd.isna(value) else value for value in before] == [
            None if pd.isna(value) else value for value in after
        ], column


def test_csv_keeps_ids_and_words_that_look_like_something_else(sweep):
    sweep.trial("007", [0.7], peak_memory_gib=1.0)
    sweep.trial("1e5", [0.1], peak_memory_gib=3.0, failed='NA, "quoted"\nsecond line')
    back = pd.read_csv(write_report(sweep.finish()).parent / "trials.csv", **LOSSLESS)
    assert back["trial_id"].tolist() == ["007", "1e5"]
    assert back["reason"].tolist()[1] == 'NA, "quoted"\nsecond line'
    assert back["adapter.kind"].tolist() == ["none", "none"]


def test_a_running_sweep_and_a_torn_line_are_noted(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=1.0)
    sweep.start("t1", adapter__kind="none")
    with (sweep.folder / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "epo')
    page = texts_in(write_report(sweep.folder))
    assert "still running" in page
    assert "running 1" in page
    assert "1 min 0 s so far" in page
    assert "last line is incomplete" in page
    assert "One trial of 1 finished trial is the best in every objective: t0" in page
    assert "none: it is the best in every objective" in page


def test_a_sweep_without_trials(sweep):
    page = texts_in(write_report(sweep.folder))
    assert "no trial has finished yet" in page
    assert (sweep.folder / "pareto.csv").read_text().startswith("trial_id,status,")


def test_all_failed(sweep):
    sweep.trial("t0", [], failed="out of memory")
    page = texts_in(write_report(sweep.finish()))
    assert "every trial failed" in page
    assert "out of memory" in page


def test_none_feasible_and_none_measured(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=7.0)
    assert "of 1 finished trial none meets every constraint" in texts_in(write_report(sweep.folder))
    other = type(sweep)(sweep.folder.parent / "other")
    other.trial("t0", [0.7], peak_memory_gib=None)
    page = texts_in(write_report(other.finish()))
    assert "no finished trial has a value for every objective" in page


def test_two_points_are_not_called_a_knee(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    page = texts_in(write_report(sweep.finish()))
    assert "Two trials of 2 finished trials are on the front" in page
    assert "The better in dev score is t1" in page
    assert "the knee" not in page


def test_one_objective_has_a_best_and_no_front_figure(sweep):
    one = type(sweep)(
        sweep.folder.parent / "one", objectives={"sts": Objective(direction="maximize", reference=0.0)}, num_trials=None
    )
    one.trial("t0", [0.3])
    one.trial("t1", [0.5])
    page = texts_in(write_report(one.finish("time_budget")))
    assert "One trial of 2 finished trials is the best in every objective: t1" in page
    assert not list(one.folder.glob("figures/front-*"))
    assert "stopped by its time budget" in page
    assert "as the time allows" in page


def test_stopped_trials_are_listed_with_their_reason(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.5], peak_memory_gib=3.5, stopped="rung 1: <dominated> by 2 of 3")
    page = texts_in(write_report(sweep.finish()))
    assert "rung 1: <dominated> by 2 of 3" in page
    assert "stopped early 1" in page


def test_a_later_report_replaces_the_earlier(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    assert view_in(write_report(sweep.folder))["is_running"]
    sweep.finish()
    assert not view_in(write_report(sweep.folder))["is_running"]


def test_a_folder_that_cannot_be_written_is_a_users_error(eight_trials):
    (eight_trials / "figures").write_text("in the way")
    with pytest.raises(UserError, match="the report cannot be written"):
        write_report(eight_trials)


def test_a_folder_without_a_journal_is_a_users_error(tmp_path):
    with pytest.raises(JournalError, match=r"journal\.jsonl: cannot be read"):
        write_report(tmp_path)


def test_markdown_text_stays_in_its_cell():
    assert markdown_text("a|b\n`c` <d> & [e](f)") == "a\\|b \\`c\\` &lt;d&gt; &amp; \\[e\\](f)"


def test_why_gpu_metrics_are_missing_is_noted_once_for_all_trials_that_share_the_reason(sweep):
    for trial_id in ("t0", "t1"):
        sweep.start(trial_id)
        problem = {"metrics": {"dev_score": 0.5}, "gpu_problem": "the driver went away"}
        sweep.journal.append(EpochFinished(trial_id=trial_id, **problem))
        sweep.end(trial_id)
    report = (write_report(sweep.finish()).parent / "report.md").read_text()
    assert report.count("t0, t1: the driver went away.") == 1


def test_the_question_stands_on_top(eight_trials):
    assert view_in(write_report(eight_trials))["question"] == "Is <more> better?"
    markdown = (eight_trials / "report.md").read_text().splitlines()
    assert markdown[0].startswith("# ") and "better?" in markdown[2]
