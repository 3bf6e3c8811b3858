import sys

import numpy as np
import pandas as pd
import pytest

from mtbert_ray.config import DataConfig
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, HubSource, TableSource
from mtbert_ray.tasks import QUORA, SST, STS, TaskKind, TaskSpec


def review_task(source) -> TaskSpec:
    return TaskSpec(name="reviews", kind=TaskKind.CLASSIFICATION, num_classes=3, source=source)


def table_task(path, *, separator=None, columns=None) -> TaskSpec:
    columns = columns or Columns(sentence1="text", label="stars", id="key")
    return review_task(TableSource(train=str(path), dev=str(path), columns=columns, separator=separator))


def pair_task(source) -> TaskSpec:
    return TaskSpec(name="alike", kind=TaskKind.PAIR_REGRESSION, label_range=(0, 1), source=source)


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def error_of(task, split="train", data=None) -> str:
    with pytest.raises(DataError) as caught:
        load_examples(task, data or DataConfig(), split, seed=0)
    return str(caught.value)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("task", "split", "num_rows", "num_unlabeled"),
    [
        (SST, "train", 8544, 0),
        (SST, "dev", 1101, 0),
        (SST, "test", 2210, 0),
        (QUORA, "train", 68664, 0),
        (QUORA, "dev", 20212, 2),
        (STS, "train", 6040, 0),
        (STS, "dev", 863, 0),
        (STS, "test", 1725, 0),
    ],
)
def test_the_courses_files_load_whole(real_data_dir, task, split, num_rows, num_unlabeled):
    data = DataConfig(source="course", directory=str(real_data_dir))
    examples = load_examples(task, data, split, seed=0)
    assert (len(examples), examples.num_unlabeled) == (num_rows, num_unlabeled)
    assert len(examples.sentence1) == num_rows
    assert (examples.sentence2 is None) == (task is SST)
    assert all(sentence.strip() for sentence in examples.sentence1 + (examples.sentence2 or []))
    assert all(len(identifier) >= 20 for identifier in examples.ids), "hexadecimal ids, not index numbers"
    if split == "test":
        assert examples.labels is None
    else:
        high = task.label_range[1] if task.label_range else task.num_classes - 1
        assert (examples.labels.min(), examples.labels.max()) == (0, high)


@pytest.mark.real_data
def test_the_course_has_no_quora_test_file(real_data_dir):
    assert load_examples(QUORA, DataConfig(source="course", directory=str(real_data_dir)), "test", seed=0) is None


@pytest.mark.real_data
def test_a_third_of_quora_train_are_paraphrases(real_data_dir):
    examples = load_examples(QUORA, DataConfig(source="course", directory=str(real_data_dir)), "train", seed=0)
    assert examples.labels.mean() == pytest.approx(26938 / 68664)


def test_course_files_with_one_or_two_index_columns(tmp_path):
    write(tmp_path / "ids-sst-train.csv", "\tid\tsentence\tsentiment\n0\t007\t A dull film . \t1\n1\t1e5\tGreat\t4\n")
    write(tmp_path / "ids-sst-test-student.csv", "0\t\tid\tsentence\n1\t0.0\t00ab\tSo-so .\n")
    data = DataConfig(source="course", directory=str(tmp_path))
    train = load_examples(SST, data, "train", seed=0)
    assert (train.ids, train.sentence1) == (["007", "1e5"], [" A dull film . ", "Great"])
    test = load_examples(SST, data, "test", seed=0)
    assert (test.ids, test.sentence1, test.labels) == (["00ab"], ["So-so ."], None)


def test_a_missing_course_file_is_named(tmp_path):
    message = error_of(STS, "dev", DataConfig(source="course", directory=str(tmp_path)))
    assert message.startswith(f"{tmp_path / 'sts-dev.csv'}: no such file; data.directory (or --data) must be")


def test_a_known_name_with_other_classes_is_refused():
    task = SST.model_copy(update={"num_classes": 2})
    assert error_of(task) == (
        "task 'sst': the data set known by this name is a classification with 5 classes, but the task is declared "
        "otherwise; write just 'sst', or give the task a source"
    )


def test_a_known_data_set_may_have_names_metrics_a_weight_and_a_template():
    names = ["awful", "poor", "so-so", "good", "great"]
    changes = {"classes": names, "metrics": ["f1_macro"], "weight": 2, "template": "review: {sentence}"}
    task = TaskSpec.model_validate({"name": "sst", "kind": "classification", **changes})
    ours, bare = (load_examples(one, DataConfig(), "dev", seed=0) for one in (task, SST))
    assert (ours.sentence1, ours.labels.tolist()) == (bare.sentence1, bare.labels.tolist())


def test_words_that_look_like_missing_values_stay_text(tmp_path):
    words = ["NA", "null", "None", "nan", "N/A", "-inf", "12"]
    rows = "".join(f"k{number},{word},{number % 3}\n" for number, word in enumerate(words))
    examples = load_examples(
        table_task(write(tmp_path / "a.csv", "key,text,stars\n" + rows)), DataConfig(), "dev", seed=0
    )
    assert examples.sentence1 == words


def test_tsv_parquet_and_another_separator_give_the_same_examples(tmp_path):
    frame = pd.DataFrame({"key": ["a", "b"], "text": ['It said "no", twice', "Fine"], "stars": [2, 0]})
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "a.csv", sep=";", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    tasks = [
        table_task(tmp_path / name, separator=sep)
        for name, sep in (("a.tsv", None), ("a.csv", ";"), ("a.parquet", None))
    ]
    for task in tasks:
        examples = load_examples(task, DataConfig(), "train", seed=0)
        assert (examples.ids, examples.sentence1) == (["a", "b"], ['It said "no", twice', "Fine"])
        np.testing.assert_array_equal(examples.labels, [2.0, 0.0])


def test_relative_paths_start_from_the_current_folder(tmp_path, monkeypatch):
    write(tmp_path / "a.csv", "key,text,stars\nx,Fine,1\n")
    monkeypatch.chdir(tmp_path)
    assert len(load_examples(table_task("a.csv"), DataConfig(), "train", seed=0)) == 1


def test_rows_without_an_id_column_are_numbered_in_the_source(tmp_path):
    rows = "".join(f"Film {number},{'' if number == 0 else 1}\n" for number in range(120))
    columns = Columns(sentence1="text", label="stars")
    task = table_task(write(tmp_path / "a.csv", "text,stars\n" + rows), columns=columns)
    examples = load_examples(task, DataConfig(), "train", seed=0)
    assert (examples.num_unlabeled, examples.ids[0], len(examples)) == (1, "1", 119)


def test_a_table_without_a_test_file_has_no_test_data(tmp_path):
    assert load_examples(table_task(tmp_path / "a.csv"), DataConfig(), "test", seed=0) is None


BROKEN = {
    "missing.csv": (None, "no such file"),
    "column.csv": (
        "key,text,star\nx,Fine,1\n",
        "no column 'stars' for label; did you mean 'star'?. The columns are: key, text, star.",
    ),
    "separator.csv": ("key;text;stars\nx;Fine;1\n", "is the separator right?"),
    "range.csv": (
        "key,text,stars\n" + "".join(f"k{n},Fine,{n}\n" for n in range(8)),
        "column 'stars' has 5 of 8 labels that are not a class 0 to 2: row 4 (id k3) has '3', row 5 (id k4) has '4', "
        "row 6 (id k5) has '5' and 2 more",
    ),
    "fraction.csv": ("key,text,stars\nx,Fine,1.5\n", "not a class 0 to 2: row 1 (id x) has '1.5'"),
    "word.csv": ("key,text,stars\nx,Fine,good\n", "not a class 0 to 2: row 1 (id x) has 'good'"),
    "infinite.csv": ("key,text,stars\nx,Fine,inf\n", "not a class 0 to 2: row 1 (id x) has 'inf'"),
    "empty.csv": ("", "is empty"),
    "header.csv": ("key,text,stars\n", "has no rows below its header"),
    "unlabeled.csv": (
        "key,text,stars\nx,Fine,\ny,Fine,2\n",
        "column 'stars' has no label in 1 of 2 rows, at most 1% may lack one: row 1 (id x)",
    ),
    "blank.csv": (
        "key,text,stars\nx,Fine,1\ny,  ,2\n",
        "column 'text' has no sentence in 1 of 2 rows, at most 1% may lack one: row 2 (id y)",
    ),
    "wide.csv": ("key,text,stars\nx,Fine,1,2\n", "its rows have more fields than its header names (3)"),
    "ragged.csv": ("key,text,stars\nx,Fine,1\ny,Well, yes,1\n", "line 3 has 4 fields, more than its header names (3)"),
    "quote.csv": (
        'key,text,stars\nx,"Fine,1\ny,Good,2\n',
        "line 2 is never closed",
    ),
    "notes.json": ("{}", "the extension '.json' is not known; allowed are .csv, .tsv, .parquet"),
    "not.parquet": ("key,text,stars\n", "is not a Parquet file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_where_what_and_what_to_do(tmp_path, name):
    content, expected = BROKEN[name]
    path = tmp_path / name
    if content is not None:
        write(path, content)
    message = error_of(table_task(path))
    assert message.startswith(f"{path}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x00\x00\x00\rIHDR", "is not a text file (it has zero bytes)"),
        ("key,text,stars\nx,Caf\u00e9,1\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_utf8_text_is_refused(tmp_path, content, expected):
    (tmp_path / "a.csv").write_bytes(content)
    assert expected in error_of(table_task(tmp_path / "a.csv"))


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "a.csv").mkdir()
    assert "cannot be read" in error_of(table_task(tmp_path / "a.csv"))


def test_numbers_in_place_of_sentences_are_refused(tmp_path):
    pd.DataFrame({"key": ["a"], "text": [17], "stars": [1]}).to_parquet(tmp_path / "a.parquet")
    assert "column 'text' must hold text, but row 1 (id a) has 17" in error_of(table_task(tmp_path / "a.parquet"))


def test_a_regression_names_its_range(tmp_path):
    path = write(tmp_path / "a.csv", "one,two,score\nA dog,A cat,1.2\n")
    columns = Columns(sentence1="one", sentence2="two", label="score")
    task = pair_task(TableSource(train=str(path), dev=str(path), columns=columns))
    assert "1 of 1 labels that are not a number from 0 to 1: row 1 has '1.2'" in error_of(task)


def test_a_few_gaps_are_let_through(tmp_path):
    frame = pd.DataFrame({"key": range(300), "text": ["Fine"] * 300, "stars": [1.0] * 300})
    frame["text"] = frame["text"].astype(object)
    frame.loc[5, "stars"] = None
    frame.loc[7, "text"] = None
    frame.to_parquet(tmp_path / "a.parquet")
    examples = load_examples(table_task(tmp_path / "a.parquet"), DataConfig(), "train", seed=0)
    assert (len(examples), examples.num_unlabeled) == (299, 1)
    assert examples.sentence1[6] == "" and examples.ids[6] == "7"


def test_row_limits_keep_the_order_and_dev_rows_do_not_follow_the_seed():
    data = DataConfig(max_train_rows=50, max_dev_rows=20)
    rows = {
        (split, seed): load_examples(SST, data, split, seed=seed).ids for split in ("train", "dev") for seed in (1, 2)
    }
    assert len(rows["train", 1]) == 50 and rows["train", 1] == sorted(rows["train", 1])
    assert rows["train", 1] != rows["train", 2]
    assert len(rows["dev", 1]) == 20 and rows["dev", 1] == rows["dev", 2]
    assert rows["train", 1] == load_examples(SST, data, "train", seed=1).ids


def test_row_limits_keep_labels_with_their_sentences():
    whole = load_examples(STS, DataConfig(), "train", seed=0)
    by_id = dict(zip(whole.ids, zip(whole.sentence1, whole.sentence2, whole.labels, strict=True), strict=True))
    some = load_examples(STS, DataConfig(max_train_rows=40), "train", seed=3)
    for identifier, *row in zip(some.ids, some.sentence1, some.sentence2, some.labels, strict=True):
        assert by_id[identifier] == tuple(row)


IDS = [
    ([9007199254740993, 2, None], "int64", ["9007199254740993", "2", ""]),
    ([9007199254740993, 2, 3], "int64", ["9007199254740993", "2", "3"]),
    ([2**64 - 1, 2, None], "uint64", ["18446744073709551615", "2", ""]),
    ([1.0, 2.0, None], "float64", ["1", "2", ""]),
    ([1.5, 2.0, float("nan")], "float32", ["1.5", "2", ""]),
    (["007", None, "1.0"], "string", ["007", "", "1.0"]),
    ([b"007", None, b"a"], "binary", ["007", "", "a"]),
]


@pytest.mark.parametrize(("held", "type_name", "expected"), IDS)
@pytest.mark.parametrize("form", ["file", "folder", "nullable", "index", "dictionary", "hub"])
def test_ids_are_read_as_they_are(tmp_path, monkeypatch, held, type_name, expected, form):
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    keys = pa.array(held, type_name)
    if form == "dictionary":
        keys = keys.dictionary_encode()
    table = pa.table({"key": keys, "text": ["Fine", "Bad", "Good"], "stars": [1, 0, 2]})
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "train.parquet"
    parquet.write_table(table, path)
    if form in ("nullable", "index"):
        frame = table.to_pandas()
        frame["key"] = pd.array(held, dtype={"int64": "Int64", "uint64": "UInt64"}.get(type_name, object))
        (frame.set_index("key") if form == "index" else frame).to_parquet(path)
    if form == "folder":
        path = path.parent.rename(tmp_path / "set.parquet")
    task = table_task(path)
    if form == "hub":
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        columns = Columns(sentence1="text", label="stars", id="key")
        task = review_task(HubSource(dataset=str(path.parent), columns=columns))
    examples = load_examples(task, DataConfig(), "train", seed=0)
    assert (examples.ids, examples.sentence1) == (expected, ["Fine", "Bad", "Good"])
    np.testing.assert_array_equal(examples.labels, [1.0, 0.0, 2.0])


def test_texts_of_bytes_are_decoded_or_refused(tmp_path):
    frame = pd.DataFrame({"key": ["a"], "text": ["caf\u00e9".encode()], "stars": [1]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert load_examples(table_task(tmp_path / "a.parquet"), DataConfig(), "train", seed=0).sentence1 == ["caf\u00e9"]
    frame.assign(text=[b"caf\xe9"]).to_parquet(tmp_path / "b.parquet")
    assert "must hold text, but row 1 (id a) has b'caf\\xe9'" in error_of(table_task(tmp_path / "b.parquet"))


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A local folder that `datasets.load_dataset` takes like a name on the Hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    folder.mkdir()
    pd.DataFrame({"text": ["Fine", "Bad", "Good"], "stars": [1, 0, 2]}).to_parquet(folder / "train.parquet")
    pd.DataFrame({"text": ["Quite nice"], "stars": [1]}).to_parquet(folder / "validation.parquet")
    pd.DataFrame({"text": ["Hidden"], "stars": [-1]}).to_parquet(folder / "test.parquet")
    return folder


def hub_task(dataset, **names) -> TaskSpec:
    return review_task(HubSource(dataset=str(dataset), columns=Columns(sentence1="text", label="stars"), **names))


def test_a_hub_data_set_has_its_splits_and_hidden_labels(hub_folder):
    task = hub_task(hub_folder, test_split="test")
    train, dev, test = (load_examples(task, DataConfig(), split, seed=0) for split in ("train", "dev", "test"))
    assert train.sentence1 == ["Fine", "Bad", "Good"]
    np.testing.assert_array_equal(train.labels, [1.0, 0.0, 2.0])
    assert (dev.sentence1, dev.ids) == (["Quite nice"], ["0"])
    assert (test.sentence1, test.labels) == (["Hidden"], None)
    assert load_examples(hub_task(hub_folder), DataConfig(), "test", seed=0) is None


def test_hidden_labels_cannot_be_trained_on(hub_folder):
    message = error_of(hub_task(hub_folder, train_split="test"))
    assert "column 'stars' has no label in 1 of 1 rows" in message


def test_a_hub_data_set_that_does_not_load_is_named(tmp_path, hub_folder):
    message = error_of(hub_task(tmp_path / "nowhere"))
    assert message.startswith(f"{tmp_path / 'nowhere'} [train]: cannot be loaded: ")
    assert "[holdout]: cannot be loaded: " in error_of(hub_task(hub_folder, train_split="holdout"))


def test_without_the_hub_extra_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'mtbert-ray[hub]'" in error_of(hub_task("somebody/reviews"))


# Training files in place of the source's
