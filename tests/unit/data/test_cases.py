"""The shared cases that are of reading, each for its kind, and variants of the kind that are not among them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtbert_ray.config import DataConfig, TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.data.examples import Gaps
from mtbert_ray.data.sources import Examples, load_examples, load_file
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec


def case(cases: Path, name: str, monkeypatch) -> TrialConfig:
    monkeypatch.chdir(cases)
    return load_config(Path(f"{name}.yaml"))


def with_source(config: TrialConfig, **changes) -> TaskSpec:
    (task,) = config.tasks
    return task.model_copy(update={"source": task.source.model_copy(update=changes)})


def read(task: TaskSpec, split="train", **limits) -> Examples:
    return load_examples(task, DataConfig(**limits), split, seed=0)


def refusal_of(task: TaskSpec, split="train") -> str:
    with pytest.raises(DataError) as caught:
        read(task, split)
    return str(caught.value)


def pair_task(path: Path, **source) -> TaskSpec:
    columns = Columns(sentence1="a", sentence2="b", label="score")
    source = TableSource(train=str(path), dev=str(path), columns=columns, **source)
    return TaskSpec(name="alike", kind=TaskKind.PAIR_REGRESSION, label_range=(0, 5), source=source)


def text_task(path: Path, columns=None, **source) -> TaskSpec:
    columns = columns or Columns(sentence1="text", label="label")
    source = TableSource(train=str(path), dev=str(path), columns=columns, **source)
    return TaskSpec(name="mood", kind=TaskKind.CLASSIFICATION, num_classes=2, source=source)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


# 01: quotes in a file that is not quoted


def test_raw_quotes_are_refused_with_their_line_and_read_unquoted(cases, monkeypatch):
    config = case(cases, "01-raw-quotes", monkeypatch)
    message = refusal_of(config.tasks[0])
    assert "line 5" in message and "line 10" in message and "`quoting: none`" in message
    examples = read(with_source(config, quoting="none"))
    assert len(examples) == 12 and examples.sentence1[3] == '"a door stood open'
    np.testing.assert_array_equal(examples.labels[3:5], [4.0, 5.0])


@pytest.mark.parametrize(
    "rows",
    [
        ['a goat\t"the tram\t1.0', 'snow\tthe road"\t2.0', "bread\tthe hat\t3.0"],  # closed at the end of a field
        ['"a goat" sang\tthe tram\t1.0', "snow\tthe road\t2.0"],
        ["a goat\tthe tram\t1.0", 'snow\t"the road\t2.0'],  # never closed
        ['"a goat\tthe tram"\t1.0', "snow\tthe road\t2.0"],  # two fields in one
        ['"a goat\tthe tram\t1.0', 'snow"\tthe road\t2.0'],
    ],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_stray_quotes_of_other_places_are_refused_or_text(tmp_path, rows, line_break):
    path = write(tmp_path / "a.tsv", line_break.join(["a\tb\tscore", *rows, ""]))
    message = refusal_of(pair_task(path))
    line = next(number for number, row in enumerate(rows, start=2) if '"' in row)
    assert f"line {line} " in message and "`quoting: none`" in message
    assert len(read(pair_task(path, quoting="none"))) == len(rows)


# 05: a tab as plain YAML writes it


def test_a_backslash_and_a_t_are_a_tab(cases, monkeypatch):
    config = case(cases, "05-separator-backslash-t", monkeypatch)
    examples = read(config.tasks[0])
    assert examples.sentence1[1].startswith('"bread was cheap"') and '""' not in "".join(examples.sentence1)


@pytest.mark.parametrize(("separator", "character"), [("\\t", "\t"), ("\t", "\t"), (";", ";"), ("|", "|")])
def test_other_separators_are_of_one_character(tmp_path, separator, character):
    path = write(tmp_path / "a.csv", f'text,x{character}label\n"said ""no"""{character}1\n')
    columns = Columns(sentence1="text,x", label="label")
    assert read(text_task(path, columns, separator=separator)).sentence1 == ['said "no"']


@pytest.mark.parametrize("separator", ["||", "\\s+", "", '"', "\n", "\\t\\t"])
def test_a_separator_of_more_or_less_is_refused(separator):
    with pytest.raises(ValueError, match="must be one character"):
        TableSource(train="a", dev="a", columns=Columns(), separator=separator)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_only_a_tab_of_the_header_line_makes_a_file_to_predict_one_of_tabs(tmp_path, line_break):
    path = write(tmp_path / "a.csv", line_break.join(["text,label", "a\tdoor,1", ""]))
    assert load_file(text_task(path), path).sentence1 == ["a\tdoor"]


# 07: rows that are left out


def test_a_row_that_is_left_out_is_noted(cases, monkeypatch):
    examples = read(case(cases, "07-one-unlabelled", monkeypatch).tasks[0])
    assert (len(examples), examples.rows_read.unlabeled) == (119, Gaps(count=1, places="row 51"))
    assert "row 51" in examples.rows_read.note()


def test_rows_without_texts_and_blank_lines_are_noted(tmp_path):
    lines = [f"text {n},{n % 2}" for n in range(300)]
    lines[4], lines[9], lines[20] = ",0", "no label", "  "
    examples = read(text_task(write(tmp_path / "a.csv", "\n".join(["text,label", *lines, "", ""]))))
    read_rows = examples.rows_read
    assert (read_rows.num_rows, read_rows.num_blank_lines) == (299, 2)
    assert (read_rows.unlabeled, read_rows.empty) == (Gaps(count=1, places="row 10"), Gaps(count=1, places="row 5"))
    assert re.findall(r"\d+", read_rows.note()) == ["298", "299", "1", "10", "1", "5", "2"]
    limited = read(text_task(tmp_path / "a.csv"), max_train_rows=10)
    assert limited.rows_read == examples.rows_read, "of the whole source"


def test_rows_that_are_all_there_have_no_note(tmp_path):
    assert read(text_task(write(tmp_path / "a.csv", "text,label\nfine,1\nbad,0\n"))).rows_read.note() is None


# 10: the cause inside the hub's error


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def hub_task(dataset, **fields) -> TaskSpec:
    source = {"dataset": str(dataset), "columns": {"sentence1": "text", "label": "label"}, **fields}
    return TaskSpec.model_validate({"name": "t", "kind": "classification", "num_classes": 2, "source": source})


def test_the_hub_s_error_tells_its_cause(cases, monkeypatch, hub_cache, capfd):
    message = refusal_of(case(cases, "10-hub-mixed", monkeypatch).tasks[0])
    assert "Failed to parse string: 'pos' as a scalar of type int64" in message
    assert "connection" not in message and "\n" not in message
    assert "Generating" not in "".join(capfd.readouterr()), "no progress bars"


def test_columns_that_differ_between_files_are_named(tmp_path, hub_cache):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.csv", "text,label\nfine,1\n")
    write(folder / "validation.csv", "text,mood\nbad,0\n")
    message = refusal_of(hub_task(folder))
    assert "mood" in message and "connection" not in message


def test_a_missing_split_is_named(tmp_path, hub_cache):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.csv", "text,label\nfine,1\n")
    message = refusal_of(hub_task(folder, train_split="holdout"))
    assert 'Unknown split "holdout"' in message and "connection" not in message


def test_a_data_set_that_cannot_be_reached_says_to_check_the_connection():
    assert "Check the connection" in refusal_of(hub_task("nobody-here/no-such-reviews"))


# 11: quotes escaped by backslashes


def test_escaped_quotes_are_refused_with_their_line_and_read_with_an_escapechar(cases, monkeypatch):
    config = case(cases, "11-backslash-quotes", monkeypatch)
    message = refusal_of(config.tasks[0])
    assert "line 2 has a quoted field" in message and r"escapechar: '\'" in message
    texts = read(with_source(config, escapechar="\\")).sentence1
    assert texts[0] == 'they said "the tram was full" and left' and not any("\\" in text for text in texts)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"\"no\", they said"', '"no", they said'),
        (r'"it ends so: \"no\""', 'it ends so: "no"'),
        (r'"a path C:\\new and \"no\""', r'a path C:\new and "no"'),
    ],
)
def test_other_escaped_quotes_are_refused_or_read(tmp_path, written, meant):
    path = write(tmp_path / "a.csv", f"text,label\nfine,0\n{written},1\n")
    message = refusal_of(text_task(path))
    assert "line 3" in message and r"escapechar: '\'" in message
    assert read(text_task(path, escapechar="\\")).sentence1 == ["fine", meant]


# 13: a column that is the index of a Parquet file


def test_an_id_in_the_index_is_found(cases, monkeypatch):
    examples = read(case(cases, "13-id-in-index", monkeypatch).tasks[0])
    assert examples.ids[:2] == ["100", "101"]


@pytest.mark.parametrize("index", [["key"], ["label"], ["text", "key"]])
def test_any_column_in_the_index_is_found(tmp_path, index):
    frame = pd.DataFrame({"key": ["x", "y"], "text": ["fine", "bad"], "label": [1, 0]})
    frame.set_index(index).to_parquet(tmp_path / "a.parquet")
    examples = read(text_task(tmp_path / "a.parquet", Columns(id="key", sentence1="text", label="label")))
    assert (examples.ids, examples.sentence1, examples.labels.tolist()) == (["x", "y"], ["fine", "bad"], [1.0, 0.0])


def test_a_named_range_is_found_and_a_nameless_index_is_no_column(tmp_path):
    frame = pd.DataFrame({"text": ["fine", "bad"], "label": [1, 0]}, index=pd.RangeIndex(7, 9, name="key"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(text_task(tmp_path / "a.parquet", Columns(id="key", sentence1="text", label="label"))).ids == ["7", "8"]
    frame.set_axis([5, 3]).to_parquet(tmp_path / "b.parquet")
    assert read(text_task(tmp_path / "b.parquet")).ids == ["0", "1"]


# 15: labels of -1 in a test file


def test_a_test_file_of_minus_ones_is_read_whole_without_labels(cases, tmp_path):
    shutil.copy(cases / "15-glue-test.csv", tmp_path / "test.csv")
    examples = load_file(text_task(tmp_path / "test.csv"), tmp_path / "test.csv")
    assert (len(examples), examples.labels) == (len((cases / "15-glue-test.csv").read_text().splitlines()) - 1, None)


def test_some_labels_of_minus_one_are_not_scored(tmp_path):
    path = write(tmp_path / "a.tsv", "text\tlabel\nfine\t1\nbad\t-1\n\t0\n")
    examples = load_file(text_task(path), path)
    np.testing.assert_array_equal(examples.labels, [1, np.nan, 0])
    read_rows = examples.rows_read
    assert (read_rows.unlabeled, read_rows.empty) == (Gaps(count=1, places="row 2"), Gaps(count=1, places="row 3"))


def test_minus_ones_of_a_test_split_are_never_looked_at(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\nfine,1\nbad,0\n")
    task = text_task(path, test=str(write(tmp_path / "test.csv", "text,label\nfine,-1\nso so,?\n")))
    assert (read(task, "test").sentence1, read(task, "test").labels) == (["fine", "so so"], None)


# Names that occur twice


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_wanted_column_of_which_there_are_two_is_refused_and_others_are_no_matter(tmp_path, ending):
    frame = pd.DataFrame([["a", "b", 1, 2, 3]] * 2, columns=["text", "text", "label", "note", "note"])
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        import pyarrow as pa
        from pyarrow import parquet

        columns = [pa.array(frame.iloc[:, number]) for number in range(5)]
        parquet.write_table(pa.table(columns, names=list(frame.columns)), path)
    assert "2 columns are called 'text'" in refusal_of(text_task(path))
    renamed = [["text", "other", "label", "note", "note"][number] for number in range(5)]
    if ending == "csv":
        frame.set_axis(renamed, axis=1).to_csv(path, index=False)
    else:
        parquet.write_table(pa.table(columns, names=renamed), path)
    assert read(text_task(path)).sentence1 == ["a", "a"]
