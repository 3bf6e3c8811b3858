"""Rows of generated files: each is read as it was written, or its loss is noted, or the file is refused."""

from pathlib import Path

from generated_files import LINE_BREAKS, SEPARATORS, Written, as_read, cells, written_files
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.config import DataConfig
from mtbert_ray.data.examples import MAX_FAULTY_SHARE
from mtbert_ray.data.sources import Examples, load_examples, load_file
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec

NOTES = cells('a ,;|\t"\n')
LABELS = st.sampled_from(["0", "1", "1", ""])
NUM_FINE = 200
"""Rows without a fault beside the generated ones, so that a few of these may be left out."""


def task_of(path: Path, **source) -> TaskSpec:
    columns = Columns(sentence1="text", label="label")
    source = TableSource(train=str(path), dev=str(path), columns=columns, **source)
    return TaskSpec(name="mood", kind=TaskKind.CLASSIFICATION, num_classes=2, source=source)


def read(path: Path, **source) -> Examples | None:
    """Read a file for prediction; None where it is refused."""
    try:
        return load_file(task_of(path, **source), path)
    except DataError:
        return None


@given(written=written_files(LABELS, NOTES))
def test_the_rows_of_a_quoted_file_are_those_that_were_written(tmp_path_factory, written: Written):
    path = written.write(tmp_path_factory.mktemp("rows") / "a.csv", ["text", "label", "note"])
    examples = load_file(task_of(path, **written.source, quoting="minimal"), path)
    texts, labels, _ = map(list, zip(*written.rows, strict=True))
    assert examples.sentence1 == [as_read(text) for text in texts]
    assert examples.ids == [str(number) for number in range(len(written.rows))]
    counts = examples.rows_read
    assert (counts.num_rows, counts.num_blank_lines) == (len(written.rows), 0)
    assert counts.empty.count == [as_read(text) for text in texts].count("")
    if examples.labels is None:
        assert set(labels) == {""}
    else:
        assert ["" if label != label else f"{label:.0f}" for label in examples.labels] == labels
        assert counts.unlabeled.count == labels.count("")
    wary = read(path, **written.source)
    assert wary is None or wary.sentence1 == examples.sentence1


@given(written=written_files())
def test_the_rows_of_a_quoted_file_of_one_column_are_those_that_were_written(tmp_path_factory, written: Written):
    path = written.write(tmp_path_factory.mktemp("rows") / "a.csv", ["text"])
    examples = load_file(task_of(path, **written.source, quoting="minimal"), path)
    assert examples.sentence1 == [as_read(text) for (text,) in written.rows]
    wary = read(path, **written.source)
    assert wary is None or wary.sentence1 == examples.sentence1


@given(written=written_files(LABELS), at=st.integers(0, NUM_FINE))
def test_training_rows_are_kept_or_noted_as_left_out_or_too_many(tmp_path_factory, written: Written, at: int):
    fine = [[f"text {number}", str(number % 2)] for number in range(NUM_FINE)]
    rows = fine[:at] + written.rows + fine[at:]
    whole = Written(rows=rows, way=written.way, separator=written.separator, line_break=written.line_break)
    path = whole.write(tmp_path_factory.mktemp("rows") / "a.csv", ["text", "label"])
    kept = [[as_read(text), label] for text, label in rows if label]
    num_left_out, num_empty = len(rows) - len(kept), sum(not text for text, _ in kept)
    is_too_much = num_left_out > MAX_FAULTY_SHARE * len(rows) or num_empty > MAX_FAULTY_SHARE * len(kept)
    task = task_of(path, **whole.source, quoting="minimal")
    try:
        examples = load_examples(task, DataConfig(), "train", seed=0)
    except DataError as error:
        assert is_too_much, error
        return
    assert not is_too_much
    counts = examples.rows_read
    assert (counts.num_rows, counts.unlabeled.count, counts.empty.count) == (len(rows), num_left_out, num_empty)
    assert len(examples) + counts.unlabeled.count == len(rows)
    assert [[text, f"{label:.0f}"] for text, label in zip(examples.sentence1, examples.labels, strict=True)] == kept
    note = counts.note() or ""
    assert (f"{len(kept)} of {len(rows)} rows; {num_left_out} left out" in note) == (num_left_out > 0)


RAW_LINES = st.lists(cells('ab ,;|\t"\\'), min_size=1, max_size=12)


@given(
    lines=RAW_LINES,
    separator=st.sampled_from(SEPARATORS),
    line_break=st.sampled_from(LINE_BREAKS),
    num_columns=st.sampled_from([1, 2, 3]),
)
def test_each_line_of_an_unquoted_file_is_a_row_or_noted_as_blank(
    tmp_path_factory, lines: list[str], separator: str, line_break: str, num_columns: int
):
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    header = separator.join(["text", "note", "more"][:num_columns])
    path.write_text("".join(line + line_break for line in (header, *lines)), encoding="utf-8", newline="")
    # A line of nothing but spaces and one field is blank, unless there is but one column.
    rows = [line for line in lines if num_columns == 1 or separator in line or line.strip()]
    is_too_long = any(line.count(separator) >= num_columns for line in rows)
    try:
        examples = load_file(task_of(path, separator=separator, quoting="none"), path)
    except DataError as error:
        assert is_too_long or not rows, error
        return
    assert not is_too_long
    assert examples.sentence1 == [as_read(line.split(separator)[0]) for line in rows]
    assert len(examples) + examples.rows_read.num_blank_lines == len(lines)
    assert examples.rows_read.num_rows == len(rows)


@given(lines=RAW_LINES, separator=st.sampled_from(SEPARATORS), line_break=st.sampled_from(LINE_BREAKS))
def test_of_stray_quotes_a_file_is_refused_or_read_as_with_meant_ones_and_no_row_holds_others(
    tmp_path_factory, lines: list[str], separator: str, line_break: str
):
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    header = separator.join(["text", "note", "more"])
    path.write_text("".join(line + line_break for line in (header, *lines)), encoding="utf-8", newline="")
    wary = read(path, separator=separator)
    if wary is None:
        return
    meant, raw = (load_file(task_of(path, separator=separator, quoting=way), path) for way in ("minimal", "none"))
    assert (wary.ids, wary.sentence1, wary.rows_read) == (meant.ids, meant.sentence1, meant.rows_read)
    assert not [text for text in wary.sentence1 if separator in text and ("\n" in text or "\r" in text)]
    if not any('"' in line for line in lines):
        assert (wary.sentence1, wary.rows_read) == (raw.sentence1, raw.rows_read)
