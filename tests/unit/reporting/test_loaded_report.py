"""`mtbert_ray.load_report`: a sweep as pandas tables and figures."""

import html
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mtbert_ray import load_report
from mtbert_ray.errors import JournalError, UserError


def test_trials_and_front_are_those_of_the_csv_files(eight_trials):
    report = load_report(eight_trials)
    assert report.trials["trial_id"].tolist() == [f"t{number}" for number in range(8)]
    assert report.front["trial_id"].tolist() == ["t0", "t1", "t3"]
    assert report.front["peak_memory_gib"].tolist() == [4.8, 2.9, 2.5]
    assert not list(eight_trials.glob("*.csv")), "nothing is written"


def test_epochs_are_rows_with_units_in_their_names_and_gaps_where_nothing_was_measured(eight_trials):
    epochs = load_report(str(eight_trials)).epochs
    assert list(epochs.columns[:2]) == ["trial_id", "epoch"]
    t0 = epochs[epochs["trial_id"] == "t0"]
    assert (t0["epoch"].tolist(), t0["train_seconds"].tolist()) == ([1, 2], [10.0, 20.0])
    assert t0["dev_score"].tolist() == pytest.approx([0.6, 0.75])
    assert epochs.loc[epochs["trial_id"] == "t5", "peak_memory_gib"].isna().all()
    assert len(epochs) == 12


def test_the_front_is_the_figure_of_the_first_two_objectives(eight_trials):
    report = load_report(eight_trials)
    figure = report.figure("front")
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_ylabel().startswith("dev score")
    assert report.figures == ("front-dev_score-vs-peak_memory_gib", "effects", "costs", "hypervolume", "scores")
    assert len(report.figure("scores").axes) >= 5


def test_a_figure_that_there_is_not_is_named_with_those_that_there_are(eight_trials, sweep, tmp_path):
    with pytest.raises(UserError, match=r"no figure 'fronts'; did you mean 'front'\? \(front, front-dev_score"):
        load_report(eight_trials).figure("fronts")
    empty = type(sweep)(tmp_path / "empty").folder
    with pytest.raises(UserError, match=r"no figure 'front'.*none"):
        load_report(empty).figure("front")


def test_a_notebook_shows_answer_notes_front_and_picture_and_no_markup_of_the_sweep(eight_trials):
    page = load_report(eight_trials)._repr_html_()
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert text.startswith("budget <b> (interrupted) 3 of 5 finished trials are on the front.")
    assert "Dev rows: 200 a task." in text
    assert 'src="data:image/png;base64,iVBOR' in page
    assert "<b>" not in page
    assert re.search(r"<td>t1</td>\s*<td>0.73</td>\s*<td>2.9</td>\s*<td>lora</td>", page)


def test_a_sweep_without_trials_has_empty_tables_and_a_page(sweep):
    report = load_report(sweep.folder)
    assert [len(table) for table in (report.trials, report.front, report.epochs)] == [0, 0, 0]
    assert "no trial has finished yet" in report._repr_html_()
    assert repr(report) == "<Report of budget <b>: 0 trials, 0 on the front>"


def test_tables_can_be_changed_without_changing_the_journal_and_survive_csv(eight_trials, tmp_path):
    report = load_report(eight_trials)
    report.epochs.to_csv(tmp_path / "epochs.csv", index=False)
    assert pd.read_csv(tmp_path / "epochs.csv")["dev_score"].tolist() == report.epochs["dev_score"].tolist()


def test_a_folder_without_a_journal_and_a_damaged_one_are_refused(eight_trials, tmp_path):
    with pytest.raises(JournalError):
        load_report(tmp_path)
    path = eight_trials / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    with pytest.raises(JournalError):
        load_report(eight_trials)
    assert len(load_report(eight_trials, lenient=True).trials) == 8
