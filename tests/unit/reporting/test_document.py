import html
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.image import imread

from mtbert_ray.errors import JournalError, UserError
from mtbert_ray.events import EpochFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.metrics import Objective
from mtbert_ray.reporting.document import DPI, markdown_text, write_report
from mtbert_ray.reporting.tables import trial_table

LOSSLESS = {"dtype": {"trial_id": str}, "keep_default_na": False, "na_values": [""]}


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_all_files_are_there_and_the_pages_point_to_them(eight_trials, pictures):
    index = write_report(eight_trials)
    assert index == eight_trials / "index.html"
    page, markdown = index.read_text(), (eight_trials / "report.md").read_text()
    linked = re.findall(r'src="([^"]+)"', page)
    assert len(linked) == 5
    assert re.findall(r"!\[[^\]]*\]\(([^)]+)\)", markdown) == linked
    for picture in linked:
        assert (eight_trials / picture).read_bytes().startswith(b"\x89PNG")
    assert not list(eight_trials.rglob("*.tmp"))
    assert "http" not in page  # self-contained: works from disk, asks nobody for anything


def test_the_result_names_the_knee_and_its_trade_offs(eight_trials):
    page = text_of(write_report(eight_trials).read_text())
    assert "3 of 5 finished trials are on the front." in page
    knee = "t1 (adapter.kind lora, adapter.rank 8, learning_rate 1e-05): dev score 0.730 and peak memory 2.90 GiB"
    assert knee in page
    assert "0.020 less dev score than t0, for 1.90 GiB less peak memory" in page
    assert "0.40 GiB more peak memory than t3, for 0.080 more dev score" in page


def test_the_page_shows_all_figures_at_the_same_size_an_inch(eight_trials, pictures):
    page = write_report(eight_trials).read_text()
    shown = {name: float(rem) for name, rem in re.findall(r'figures/(\S+)\.png".*max-width: ([\d.]+)rem', page)}
    inches = {name: imread(eight_trials / f"figures/{name}.png").shape[1] / DPI for name in shown}
    assert len(shown) == 5
    assert {name: rem / inches[name] for name, rem in shown.items()} == pytest.approx(dict.fromkeys(shown, 6.4), 0.01)


def test_commands_of_front_points_quote_the_folder_and_need_a_checkpoint_to_predict(eight_trials, monkeypatch):
    monkeypatch.chdir(eight_trials.parent)
    for page in (text_of(write_report(eight_trials).read_text()), (eight_trials / "report.md").read_text()):
        assert "python -m mtbert_ray.train --config 'a sweep/trials/t1/config.yaml'" in page
        assert "python -m mtbert_ray.predict 'a sweep/trials/t1/checkpoint'" in page
        assert "t3/config.yaml" in page
        assert "t3/checkpoint" not in page  # kept none
        assert "t2/config.yaml" not in page  # not on the front


def test_a_folder_elsewhere_is_named_as_given(eight_trials, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert f"'{eight_trials}/trials/t0/config.yaml'" in text_of(write_report(eight_trials).read_text())


def test_a_failed_trials_reason_is_shown_and_cannot_do_anything(eight_trials):
    page, markdown = write_report(eight_trials).read_text(), (eight_trials / "report.md").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>" not in page  # the sweep's name holds one
    assert "<script>" not in markdown
    assert "alert('x')&lt;/script&gt; \\| \\`rm\\` &amp; 2 GiB too much" in markdown


def test_html_is_balanced(eight_trials):
    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "img", "br", "link"}:
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(write_report(eight_trials).read_text())
    assert parser.open == []


def test_notes_state_and_environment_are_shown(eight_trials):
    page = text_of(write_report(eight_trials).read_text())
    for piece in (
        "budget <b> interrupted",
        "trials planned 8",
        "finished 6",
        "failed 1",
        "Dev rows: 200 a task.",
        "1 finished trial could not be compared: an objective was not measured.",
        "torch 2.13.0",
        "not from a checkout",
        "at most 6.00 GiB",
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


def test_sorting_keys_are_unrounded_and_gaps_empty(eight_trials):
    page = write_report(eight_trials).read_text()
    assert '<td data-key="109482240">109,482,240</td>' in page
    assert '<td data-key="0.30000000000000004">0.3</td>' in page
    assert '<td data-key=""></td>' in page


def test_a_running_sweep_and_a_torn_line_are_noted(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=1.0)
    sweep.start("t1", adapter__kind="none")
    with (sweep.folder / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "epo')
    page = text_of(write_report(sweep.folder).read_text())
    assert "still running" in page
    assert "running 1" in page
    assert "1 min 0 s so far" in page
    assert "last line is incomplete" in page
    assert "One trial of 1 finished trial is the best in every objective: t0" in page
    assert "none: it is the best in every objective" in page


def test_a_sweep_without_trials(sweep):
    page = text_of(write_report(sweep.folder).read_text())
    assert "no trial has finished yet" in page
    assert "No trial has started" in page
    assert (sweep.folder / "pareto.csv").read_text().startswith("trial_id,status,")


def test_all_failed(sweep):
    sweep.trial("t0", [], failed="out of memory")
    page = text_of(write_report(sweep.finish()).read_text())
    assert "every trial failed" in page
    assert "out of memory" in page


def test_none_feasible_and_none_measured(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=7.0)
    assert "of 1 finished trial none meets every constraint" in text_of(write_report(sweep.folder).read_text())
    other = type(sweep)(sweep.folder.parent / "other")
    other.trial("t0", [0.7], peak_memory_gib=None)
    page = text_of(write_report(other.finish()).read_text())
    assert "no finished trial has a value for every objective" in page


def test_two_points_are_not_called_a_knee(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.8], peak_memory_gib=4.0)
    page = text_of(write_report(sweep.finish()).read_text())
    assert "Two trials of 2 finished trials are on the front" in page
    assert "The better in dev score is t1" in page
    assert "the knee" not in page


def test_one_objective_has_a_best_and_no_front_figure(sweep):
    one = type(sweep)(
        sweep.folder.parent / "one", objectives={"sts": Objective(direction="maximize", reference=0.0)}, num_trials=None
    )
    one.trial("t0", [0.3])
    one.trial("t1", [0.5])
    page = write_report(one.finish("time_budget")).read_text()
    assert "front-" not in page
    assert "One trial of 2 finished trials is the best in every objective: t1" in text_of(page)
    assert "stopped by its time budget" in page
    assert "as the time allows" in page


def test_stopped_trials_are_listed_with_their_reason(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    sweep.trial("t1", [0.5], peak_memory_gib=3.5, stopped="rung 1: <dominated> by 2 of 3")
    page = write_report(sweep.finish()).read_text()
    assert "rung 1: &lt;dominated&gt; by 2 of 3" in page
    assert "stopped early 1" in text_of(page)


def test_a_later_report_replaces_the_earlier(sweep):
    sweep.trial("t0", [0.7], peak_memory_gib=3.0)
    assert "still running" in write_report(sweep.folder).read_text()
    sweep.finish()
    assert "still running" not in write_report(sweep.folder).read_text()


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
    page = write_report(eight_trials).read_text()
    assert '<p class="question">Is &lt;more&gt; better?</p>' in page
    markdown = (eight_trials / "report.md").read_text().splitlines()
    assert markdown[0].startswith("# ") and "better?" in markdown[2]
