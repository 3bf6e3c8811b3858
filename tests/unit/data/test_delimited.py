r"""Text files: every row as it was meant, or an error with its line.

The property: whatever is written into a file, the rows read and the lines reported as blank are all that it has, or the
file is refused.
"""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.config import DataConfig
from mtbert_ray.data.delimited import BY_COURSE, BY_FILE, TextFormat, read_records
from mtbert_ray.data.sources import load_examples
from mtbert_ray.data.table import read_table, separator_in
from mtbert_ray.errors import DataError
from mtbert_ray.tasks import SST

PATH = Path("a.csv")


def rows_of(text: str, **form) -> list[list[str]]:
    return read_records(text, TextFormat(**{"separator": ",", **form}), PATH).rows


def refusal_of(text: str, **form) -> str:
    with pytest.raises(DataError) as caught:
        rows_of(text, **form)
    assert str(caught.value).startswith("a.csv: ")
    return str(caught.value)


TWO_STRAY_QUOTES = 'id,text,label\n0,"a goat,x\n1,the tram,y\n2,"the tram,z\n3,snow,x\n'


def test_a_stray_quote_that_swallows_rows_is_refused_with_its_line():
    message = refusal_of(TWO_STRAY_QUOTES)
    assert "line 2" in message and "line 4" in message
    assert "`quoting: none`" in message
    # One that ends at a separator, which even a strict reader takes.
    message = refusal_of('id,text,label\n0,fine,x\n1,"a goat,x\n2,the tram",y\n')
    assert "line 3" in message and "line 4" in message
    assert "`quoting: none`" in message and "`quoting: minimal`" in message


def test_a_stray_quote_that_swallows_the_fields_of_its_row_is_refused():
    message = refusal_of('id\ttext\tother\tlabel\n0\t"a goat\tthe tram"\tx\n', separator="\t")
    assert "line 2 has 3 of 4 fields" in message and r"'\t'" in message


def test_a_quote_that_is_never_closed_names_the_line_where_its_row_begins():
    message = refusal_of('id,text,label\n0,"fine",x\n\n1,"a goat,x\n2,the tram,y\n')
    assert "line 4" in message and "never closed" in message
    assert "`quoting: none`" in message


@pytest.mark.parametrize("text", ['"fine" they said', '"fine"  ', '"a" and "b"'])
def test_text_behind_a_closing_quote_is_refused(text):
    message = refusal_of(f"id,text,label\n0,{text},x\n")
    assert "line 2" in message
    assert "`quoting: none`" in message and "escapechar" not in message


@pytest.mark.parametrize("text", [TWO_STRAY_QUOTES, 'id,text,label\n0,"a \\"b\\"",x\n'])
def test_where_no_key_could_be_set_a_message_says_what_helps(text):
    assert "in the task's source" in refusal_of(text)
    for remedies, helps in ((BY_FILE, "give the rows as .parquet"), (BY_COURSE, "get the file anew")):
        message = refusal_of(text, remedies=remedies)
        assert "in the task's source" not in message and "escapechar" not in message
        assert helps in message.lower()


@pytest.mark.parametrize("where", ["course", "train_files"])
def test_the_course_s_tasks_have_no_key_to_set(where, tmp_path):
    stray = tmp_path / ("ids-sst-train.csv" if where == "course" else "mine.csv")
    stray.write_text('\tid\tsentence\tsentiment\n0\ta\t"one\t1\n1\tb\t"two\t2\n')
    train_files = {"sst": str(stray)} if where == "train_files" else {}
    data = DataConfig(source="course", directory=str(tmp_path), train_files=train_files)
    with pytest.raises(DataError) as caught:
        load_examples(SST, data, "train", seed=0)
    helps = "get the file anew" if where == "course" else "give the rows as .parquet"
    assert "in the task's source" not in str(caught.value) and helps in str(caught.value).lower()


def test_unquoted_every_line_is_a_row_and_quotes_are_text():
    assert rows_of(TWO_STRAY_QUOTES, quoting="none") == [
        ["0", '"a goat', "x"],
        ["1", "the tram", "y"],
        ["2", '"the tram', "z"],
        ["3", "snow", "x"],
    ]


def test_a_line_break_and_a_separator_in_one_field_can_be_meant():
    text = 'id,text\n0,"first, second\nthird"\n1,fine\n'
    refusal_of(text)
    assert rows_of(text, quoting="minimal") == [["0", "first, second\nthird"], ["1", "fine"]]
    # Either alone is nothing to wonder at.
    assert rows_of('id,text\n0,"first, second"\n1,"first\nsecond"\n') == [
        ["0", "first, second"],
        ["1", "first\nsecond"],
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"they said \"fine\" and left"', 'they said "fine" and left'),
        (r'"\"fine\""', '"fine"'),
        (r'"a \\ b"', "a \\ b"),
        (r'"ends in a backslash\\"', "ends in a backslash\\"),
        (r'"C:\new\table"', r"C:\new\table"),
        (r'"doubled "" too, \"both\""', 'doubled " too, "both"'),
        (r"C:\new\\table", r"C:\new\\table"),
        (r"not at the start \"", r"not at the start \""),
        (r'""', ""),
        (r'"\""', '"'),
        ('"over \\"two\nlines\\""', 'over "two\nlines"'),
    ],
)
def test_a_backslash_before_a_quote_or_a_backslash_is_an_escape_inside_quotes_alone(written, meant):
    assert rows_of(f"id,text,label\n0,{written},x\n1,fine,y\n", escapechar="\\") == [
        ["0", meant, "x"],
        ["1", "fine", "y"],
    ]


def test_backslashes_before_quotes_get_a_hint():
    message = refusal_of('id,text\n0,"they said \\"fine\\", and left"\n')
    assert "line 2" in message and r"escapechar: '\'" in message


def test_rows_that_are_too_long_are_refused_with_line_and_counts():
    message = refusal_of("id,text\n0,fine\n1,well, yes\n2,a,b,c\n")
    assert "line 3 has 3 fields (and 1 more rows)" in message
    assert "its rows have more fields than its header names (2)" in refusal_of("id,text\n0,fine,1\n1,bad,2\n")


def test_rows_that_are_too_short_end_in_empty_fields():
    assert rows_of("a,b,c\n1,2\n3\n4,5,6\n") == [["1", "2", ""], ["3", "", ""], ["4", "5", "6"]]


def test_blank_lines_are_rows_of_a_file_of_one_column_alone():
    one = read_records("text\nfine\n\nbad\n  \n", TextFormat(separator=","), PATH)
    assert (one.rows, one.num_blank_lines) == ([["fine"], [""], ["bad"], ["  "]], 0)
    two = read_records("\n \nid,text\n0,fine\n\n  \n1,bad\n\n", TextFormat(separator=","), PATH)
    assert (two.header, two.rows, two.num_blank_lines) == (["id", "text"], [["0", "fine"], ["1", "bad"]], 5)
    # A row of empty fields is a row.
    assert rows_of(',\n,\n""\n') == [["", ""], ["", ""]]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", ["auto", "none"])
def test_any_line_break_ends_a_row_and_other_white_space_does_not(line_break, quoting):
    text = line_break.join(["id,text", "0,one\x0bline\u2028of\x85text", "1,fine", ""])
    assert rows_of(text, quoting=quoting) == [["0", "one\x0bline\u2028of\x85text"], ["1", "fine"]]


LONE_RETURNS = [
    ("s,l\nabc\rdef,1\n", 2),
    ("s,l\r\nx,0\r\nabc\rdef,1\r\n", 3),
    ("l,s\n0,x\n1,abc\rdef", 3),
    ("s,l\n\rabc,1\n", 2),
    ("s\rt,l\nabc,1\n", 1),
    ("s\nabc\rdef\n", 2),
    ("s,l\rabc,1\rx,0\n", 1),
]


@pytest.mark.parametrize(("text", "line"), LONE_RETURNS)
@pytest.mark.parametrize("form", [{}, {"quoting": "minimal"}, {"quoting": "none"}, {"escapechar": "\\"}])
def test_a_carriage_return_inside_a_row_is_refused_with_its_line(text, line, form):
    assert f"line {line} has a carriage return (\\r) inside a row" in refusal_of(text, **form)


def test_a_carriage_return_in_quotes_is_text_and_counts_as_no_line():
    assert rows_of('s,l\n"abc\rdef",1\n"x,\ry",0\n"z\r",1\n') == [["abc\rdef", "1"], ["x,\ry", "0"], ["z\r", "1"]]
    message = refusal_of('s,l\n"abc\rdef",1\n"x" y,0\n')
    assert "line 3" in message
    assert "line 3 has a carriage return" in refusal_of('s,l\n"two\nlines"\rx,1\n')


def test_carriage_returns_at_the_end_of_a_line_are_no_rows():
    for quoting in ("auto", "none"):
        assert rows_of("s\r\r\nabc\r\r\nx\n", quoting=quoting) == [["abc"], ["x"]]


@given(lines=st.lists(st.text(st.sampled_from(list("ab,\r")), max_size=8), min_size=1, max_size=6))
def test_unquoted_no_carriage_return_makes_two_rows_of_a_line(lines):
    text = "".join(line + "\n" for line in ["a,b", *lines])
    is_inside = any("\r" in line.rstrip("\r") for line in lines)
    try:
        records = read_records(text, TextFormat(separator=",", quoting="none"), PATH)
    except DataError as error:
        assert is_inside or "fields" in str(error)
        return
    assert not is_inside and len(records.rows) + records.num_blank_lines == len(lines)


def test_a_field_may_be_longer_than_csv_lets_it_be_by_default(tmp_path):
    limit = csv.field_size_limit()
    long = "word " * 60_000
    (tmp_path / "a.csv").write_text(f"id,text\n0,{long}\n")
    assert read_table(tmp_path / "a.csv").frame["text"].tolist() == [long]
    assert csv.field_size_limit() == limit, "the process's own limit is as before"


@pytest.mark.parametrize("num_marks", [1, 2, 3])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path, num_marks):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" * num_marks + b"id,text\n0,caf\xc3\xa9\n")
    frame = read_table(tmp_path / "a.csv").frame
    assert (list(frame.columns), frame["text"].tolist()) == (["id", "text"], ["caf\u00e9"])


def test_bytes_that_are_no_utf8_name_their_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text\n0,fine\n1,caf\xe9\n")
    with pytest.raises(DataError, match=r"is not UTF-8 text .* on line 3"):
        read_table(tmp_path / "a.csv")


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ids-sst-train", "ids-sst-test-student", "quora-train", "quora-dev", "sts-train"])
def test_real_files_read_as_pandas_reads_them(real_data_dir, name):
    path = real_data_dir / f"{name}.csv"
    table = read_table(path, separator="\t")
    expected = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert table.num_blank_lines == 0
    assert table.frame.to_numpy().tolist() == expected.to_numpy(dtype=object).tolist()


FIELDS = st.text(st.sampled_from(list("ab ,\t\"\\\n\r\u00e9'")), max_size=8)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=8))
SEPARATORS = st.sampled_from([",", "\t"])


@given(rows=TABLES, separator=SEPARATORS, line_break=st.sampled_from(["\n", "\r\n"]))
def test_whatever_csv_writes_is_read_again(rows, separator, line_break):
    header = [f"c{number}" for number in range(len(rows[0]) if rows else 2)]
    written = io.StringIO(newline="")
    # It leaves \r unquoted where that is no part of its line terminator, and then the row is refused.
    quoting = csv.QUOTE_ALL if any("\r" in text for row in rows for text in row) else csv.QUOTE_MINIMAL
    csv.writer(written, delimiter=separator, lineterminator=line_break, quoting=quoting).writerows([header, *rows])
    assert rows_of(written.getvalue(), separator=separator, quoting="minimal") == rows
    try:
        assert rows_of(written.getvalue(), separator=separator) == rows
    except DataError:
        assert any(
            (separator in text or len(row) == 1) and ("\n" in text or "\r" in text) for row in rows for text in row
        )


@given(rows=TABLES, separator=SEPARATORS)
def test_whatever_is_written_with_escapes_is_read_again(rows, separator):
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = [f"c{number}" for number in range(len(rows[0]) if rows else 2)]
    text = "".join(separator.join(map(quoted, row)) + "\n" for row in [header, *rows])
    assert rows_of(text, separator=separator, quoting="minimal", escapechar="\\") == rows


@given(lines=st.lists(st.text(st.sampled_from(list('ab ,"\\')), max_size=10), max_size=8), width=st.integers(1, 3))
def test_unquoted_every_line_is_a_row_or_reported_as_blank_or_refused(lines, width):
    header = ",".join(f"c{number}" for number in range(width))
    text = "\n".join([header, *lines, ""])
    try:
        records = read_records(text, TextFormat(separator=",", quoting="none"), PATH)
    except DataError:
        assert any(line.count(",") >= width for line in lines)
        return
    assert len(records.rows) + records.num_blank_lines == len(lines)
    kept = [line for line in lines if width == 1 or line.strip() or "," in line]
    assert [row[: line.count(",") + 1] for row, line in zip(records.rows, kept, strict=True)] == [
        line.split(",") for line in kept
    ]


@given(
    lines=st.lists(st.text(st.sampled_from(list('ab ,"\\')), max_size=10), max_size=8),
    width=st.integers(2, 3),
    escapechar=st.sampled_from([None, "\\"]),
)
def test_wary_reading_joins_no_lines_that_may_be_rows(lines, width, escapechar):
    """Lines are joined only where the field between them holds no separator, in a row that is whole."""
    header = ",".join(f"c{number}" for number in range(width))
    try:
        records = read_records("\n".join([header, *lines, ""]), TextFormat(separator=",", escapechar=escapechar), PATH)
    except DataError:
        return
    joined = sum(text.count("\n") for row in records.rows for text in row)
    assert len(records.rows) + records.num_blank_lines + joined == len(lines)
    assert not any("\n" in text and "," in text for row in records.rows for text in row)


def test_a_line_break_in_a_file_of_one_column_may_be_two_rows():
    """There is no separator to tell by."""
    text = 'text\n"the tram\nsnow"\na goat\n'
    message = refusal_of(text)
    assert "line 2" in message and "line 3" in message and "one column" in message
    assert rows_of(text, quoting="minimal") == [["the tram\nsnow"], ["a goat"]]
    assert rows_of(text, quoting="none") == [['"the tram'], ['snow"'], ["a goat"]]


@pytest.mark.parametrize(
    ("content", "expected"), [("s\tl\ra,\r", "\t"), ("s,l\ra\tb,1\r", ","), ("s,l\na\tb,1\n", ",")]
)
def test_a_tab_in_the_header_line_alone_tells_the_separator(tmp_path, content, expected):
    (tmp_path / "a.csv").write_bytes(content.encode())
    assert separator_in(tmp_path / "a.csv", otherwise=",") == expected


def test_the_header_line_tells_the_separator_behind_blank_lines(tmp_path):
    (tmp_path / "a.csv").write_text("\n  \nid\ttext\n0,1\t2\n")
    assert separator_in(tmp_path / "a.csv", otherwise=None) == "\t"
