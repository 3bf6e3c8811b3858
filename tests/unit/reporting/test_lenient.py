"""`report --lenient`: the report of a damaged journal, with what is not in it."""

from command_line import invoke

from mtbert_ray.journal import JOURNAL_NAME, read_journal
from mtbert_ray.reporting.facts import notes_of
from mtbert_ray.reporting.outcome import outcome_of


def damage(folder, place: int) -> None:
    path = folder / JOURNAL_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b'"epoch"', b'"eboch"')
    path.write_bytes(b"".join(lines))


def test_a_damaged_line_is_refused_with_the_way_out_and_named_in_the_report(eight_trials):
    before = read_journal(eight_trials)
    damage(eight_trials, 2)
    refused = invoke("report", eight_trials)
    assert refused.exit_code == 2 and "line 3" in refused.stderr and "--lenient" in refused.stderr
    assert not (eight_trials / "index.html").exists()
    done = invoke("report", eight_trials, "--lenient")
    assert done.exit_code == 0 and "line 3" in done.stderr
    page = (eight_trials / "report.md").read_text()
    assert "line 3" in page
    after = read_journal(eight_trials, lenient=True)
    assert after.trials[0].epochs == before.trials[0].epochs[1:]
    assert after.trials[1:] == before.trials[1:]


def test_a_whole_journal_is_the_same_with_and_without_lenient(eight_trials):
    assert read_journal(eight_trials, lenient=True) == read_journal(eight_trials)
    assert invoke("report", eight_trials, "--lenient").stderr == ""


def test_of_much_damage_the_report_names_some_and_counts_the_rest(sweep):
    for number in range(40):
        sweep.trial(f"t{number}", [0.5])
    folder = sweep.finish()
    for number in range(40):
        damage(folder, 2 + 3 * number)
    read = read_journal(folder, lenient=True)
    assert len(read.damage) == 40
    notes = [note for note in notes_of(outcome_of(read)) if "damaged" in note]
    assert len(notes) == 21 and "20" in notes[-1]


def test_another_file_is_not_read_leniently(tmp_path):
    (tmp_path / JOURNAL_NAME).write_text("name: tiny\nsearch: {}\n")
    done = invoke("report", tmp_path, "--lenient")
    assert done.exit_code == 2 and "sweep_started" in done.stderr
