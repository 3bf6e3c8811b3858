"""Lines of a journal: numbered and sealed as they are written, and what is refused, told and left out on reading."""

import json
import zlib

import pytest
from damage import deep
from old_journals import unsealed
from study_sessions import finish, new_study, resumed_study, run_epochs, space_of, start

from mtbert_ray import journal_lines
from mtbert_ray.errors import JournalError
from mtbert_ray.events import EpochFinished, TrialFailed, TrialFinished, TrialStarted
from mtbert_ray.journal import JOURNAL_NAME, Journal, read_events, read_journal
from mtbert_ray.journal_lines import MAX_DEPTH, as_line, line_of, seal

EPOCH = EpochFinished(time=5.0, trial_id="t1", metrics={"epoch": 1, "dev_score": 0.5})


def lines_of(folder) -> list[bytes]:
    return (folder / JOURNAL_NAME).read_bytes().splitlines(keepends=True)


def write_lines(folder, lines) -> None:
    (folder / JOURNAL_NAME).write_bytes(b"".join(lines))


@pytest.fixture
def sweep(tmp_path):
    """Folder of a sweep: started, t000 with two epochs, t001 finished; lines 1 to 14."""
    study = new_study(space_of(tmp_path), tmp_path / "sweep")
    first, second = start(study, 2)
    run_epochs(study, first, [0.1, 0.2])
    finish(study, second)
    return tmp_path / "sweep"


# A line


def test_a_line_is_read_as_it_was_written():
    line = line_of(as_line(EPOCH, 12)[:-1])
    assert (line.event, line.number) == (EPOCH, 12)


def test_a_line_without_number_is_of_an_earlier_version():
    line = line_of(EPOCH.model_dump_json().encode())
    assert (line.event, line.number) == (EPOCH, None)


def test_every_single_byte_that_is_changed_is_found():
    text = as_line(EPOCH, 3)[:-1]
    for place in range(len(text)):
        for bit in (1, 4, 64):
            changed = bytearray(text)
            changed[place] ^= bit
            with pytest.raises(ValueError):
                line_of(bytes(changed))


@pytest.mark.parametrize(
    "metrics",
    [
        '{"epoch": 1, "x": NaN}',
        '{"x": Infinity}',
        '{"x": -Infinity}',
        '{"x": 1e999}',
        f'{{"x": {10**400}}}',
        '{"x": 1, "x": 2}',
        '{"epoch": 1000000000000}',
        '{"epoch": 0}',
        '{"epoch": 1.5}',
        '{"x": [1]}',
        '{"x": "a"}',
    ],
)
def test_a_number_that_is_none_of_a_journal_is_refused(metrics):
    text = f'{{"event":"epoch","trial_id":"t1","metrics":{metrics}}}'.encode()
    with pytest.raises(ValueError):
        line_of(text)
    with pytest.raises(ValueError):
        line_of(seal(text, 1))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 10, 5000, 300_000])
def test_depth_is_bounded(depth):
    text = b'{"event":"epoch","trial_id":"t1","metrics":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(ValueError, match="deep"):
        line_of(text)


def test_length_is_bounded_for_reader_and_writer(monkeypatch, sweep):
    monkeypatch.setattr(journal_lines, "MAX_LINE_BYTES", 400)
    with pytest.raises(ValueError, match="bytes"):
        line_of(b" " * 401)
    with pytest.raises(JournalError, match="bytes"):
        Journal.reopen(sweep).append(TrialFailed(trial_id="t001", reason="x" * 400))


def test_a_whole_number_beyond_64_bits_is_read_as_a_float(sweep):
    journal = Journal.reopen(sweep)
    journal.append(EpochFinished(trial_id="t000", metrics={"epoch": 3, "huge": 10**60, "count": 2**53}))
    metrics = read_journal(sweep).trials[0].epochs[-1]
    assert metrics == {"epoch": 3, "huge": 1e60, "count": 2**53} and isinstance(metrics["count"], int)


@pytest.mark.parametrize("values", [{"dropout": 10**400}, {"dropout": deep(200)}])
def test_what_could_not_be_read_back_is_not_written(sweep, values):
    before = (sweep / JOURNAL_NAME).read_bytes()
    started = TrialStarted(trial_id="t002", hyperparameters=values, config={"epochs": 1, "tasks": []})
    with pytest.raises(JournalError, match="cannot be written"):
        Journal.reopen(sweep).append(started)
    assert (sweep / JOURNAL_NAME).read_bytes() == before


def test_half_a_character_is_refused():
    text = b'{"event":"trial_failed","trial_id":"t1","reason":"\\ud800"}'
    with pytest.raises(ValueError, match="surrogate"):
        line_of(text)


# A journal


def test_lines_are_numbered_and_a_resumed_journal_goes_on_counting(sweep):
    study = resumed_study(sweep)
    start(study)
    numbers = [json.loads(line)["line"] for line in lines_of(sweep)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_journal_of_an_earlier_version_is_resumed_with_numbers(sweep):
    old = [unsealed(line) for line in lines_of(sweep)]
    write_lines(sweep, old)
    before, _ = read_events(sweep)
    start(resumed_study(sweep))
    lines = lines_of(sweep)
    assert lines[: len(old)] == old
    assert [json.loads(line)["line"] for line in lines[len(old) :]] == [len(old) + 1, len(old) + 2]
    assert read_events(sweep)[0][: len(before)] == before


def test_a_number_is_counted_anew_where_another_process_has_written(sweep):
    first, second = Journal.reopen(sweep), Journal.reopen(sweep)
    for number, journal in enumerate((first, second, first, first)):
        journal.append(TrialFailed(trial_id="t000", reason=str(number)))
    assert read_journal(sweep).trials[0].reason == "3"


@pytest.mark.parametrize("damage", ["missing", "twice", "swapped", "changed", "unsealed"])
@pytest.mark.parametrize("place", [1, 5, 12])
def test_a_line_that_is_not_as_it_was_written_is_refused_and_named(sweep, damage, place):
    lines = lines_of(sweep)
    whole = read_events(sweep)[0]
    match damage:
        case "missing":
            del lines[place]
        case "twice":
            lines.insert(place, lines[place])
        case "swapped":
            lines[place], lines[place + 1] = lines[place + 1], lines[place]
        case "changed":
            lines[place] = lines[place].replace(b"t00", b"t01", 1)
        case "unsealed":
            lines[place] = unsealed(lines[place])
    write_lines(sweep, lines)
    with pytest.raises(JournalError) as caught:
        read_journal(sweep)
    named = place + 2 if damage == "twice" else place + 1
    assert f"line {named}: " in str(caught.value) and "--lenient" in str(caught.value)
    lenient = read_journal(sweep, lenient=True)
    assert any(f"line {named}: " in text for text in lenient.damage)
    if damage == "twice":
        assert lenient.trials == read_journal_of(whole).trials


def read_journal_of(events):
    from mtbert_ray.trial import Sweep

    sweep = Sweep(started=events[0])
    for event in events[1:]:
        sweep.apply(event)
    return sweep


def test_lenient_leaves_out_a_damaged_middle_line_alone(sweep):
    lines, whole = lines_of(sweep), read_events(sweep)[0]
    assert whole[4].event == "epoch" and whole[4].trial_id == "t000"
    lines[4] = b'{"half": ' + lines[4][20:]
    write_lines(sweep, lines)
    read = read_journal(sweep, lenient=True)
    assert read.trials == read_journal_of(whole[:4] + whole[5:]).trials
    assert len(read.damage) == 1 and read.damage[0].startswith("line 5: ")


def test_lenient_leaves_out_what_follows_from_a_trial_s_lost_start(sweep):
    lines = lines_of(sweep)
    del lines[2]
    write_lines(sweep, lines)
    read = read_journal(sweep, lenient=True)
    assert [trial.trial_id for trial in read.trials] == ["t000"]
    assert any("t001" in text for text in read.damage[1:])


def test_a_journal_without_its_first_line_is_not_read_leniently(sweep):
    write_lines(sweep, lines_of(sweep)[1:])
    with pytest.raises(JournalError, match="sweep_started"):
        read_journal(sweep, lenient=True)


def test_a_line_break_inside_a_line_costs_that_line_alone(sweep):
    lines, whole = lines_of(sweep), read_events(sweep)[0]
    lines[4] = lines[4][:30] + b"\n" + lines[4][30:]
    write_lines(sweep, lines)
    read = read_journal(sweep, lenient=True)
    assert read.trials == read_journal_of(whole[:4] + whole[5:]).trials and len(read.damage) == 2


def test_a_line_twice_in_a_journal_of_an_earlier_version_is_refused(sweep):
    lines = [unsealed(line) for line in lines_of(sweep)]
    write_lines(sweep, [*lines[:5], lines[4], *lines[5:]])
    with pytest.raises(JournalError, match="line 6: "):
        read_journal(sweep)


def test_an_event_written_with_another_s_checksum_is_refused(sweep):
    lines = lines_of(sweep)
    body = lines[4].replace(b'"dev_score":0.2', b'"dev_score":0.9')
    assert body != lines[4] and zlib.crc32(body) != zlib.crc32(lines[4])
    write_lines(sweep, [*lines[:4], body, *lines[5:]])
    with pytest.raises(JournalError, match=r"line 5: .*checksum"):
        read_journal(sweep)


def test_a_copy_with_the_line_ends_of_windows_is_the_same(sweep):
    before = read_journal(sweep)
    write_lines(sweep, [line.replace(b"\n", b"\r\n") for line in lines_of(sweep)])
    assert read_journal(sweep) == before


# Names that become paths


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "/", "/tmp/x", "a/b", "a\\b", "-rf", ".hidden", "a\0", "é", " "]
)
def test_a_trial_s_name_is_a_part_of_a_path(name):
    text = json.dumps({"event": "trial_failed", "trial_id": name, "reason": "x"}).encode()
    with pytest.raises(ValueError, match="trial_id"):
        line_of(text)


@pytest.mark.parametrize(
    "checkpoint",
    [
        "",
        ".",
        "/etc",
        "trials",
        "trials/t1",
        "trials/t1/",
        "trials/t1/..",
        "trials/t1/../t2/checkpoint",
        "trials/t2/c",
        "trials/t1//c",
        "trials/t1/-c",
        "../trials/t1/c",
        "trials/t1/c/../../../x",
        "trials/t1/a b",
        "trials\\t1\\c",
    ],
)
def test_a_checkpoint_is_inside_its_trial_s_folder(checkpoint):
    for kind, more in (("trial_finished", {}), ("trial_stopped", {"reason": "x"})):
        text = json.dumps({"event": kind, "trial_id": "t1", "checkpoint": checkpoint, **more}).encode()
        with pytest.raises(ValueError, match="checkpoint"):
            line_of(text)
    inside = TrialFinished(trial_id="t1", checkpoint="trials/t1/checkpoint")
    assert line_of(inside.model_dump_json().encode()).event == inside
