"""Dev rows cut from the training rows."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtbert_ray.config import DataConfig
from mtbert_ray.data.classes import with_classes
from mtbert_ray.data.examples import dev_rows
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import Columns, DevSplit, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=200),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 5),
)
def test_each_class_gives_its_share_and_keeps_a_training_row(labels, share, seed):
    labels = np.array(labels, dtype=np.float64)
    rows = dev_rows(labels, DevSplit(dev=share, seed=seed), is_regression=False)
    assert rows.tolist() == sorted(set(rows.tolist()))
    for label in np.unique(labels):
        size, drawn = int((labels == label).sum()), int((labels[rows] == label).sum())
        assert drawn <= size - 1
        assert abs(drawn - min(share * size, size - 1)) < 1
    assert rows.tolist() == dev_rows(labels, DevSplit(dev=share, seed=seed), is_regression=False).tolist()


def test_the_whole_is_the_share_where_every_class_is_large():
    labels = np.repeat([0.0, 1.0, 2.0], [333, 334, 533])
    rows = dev_rows(labels, DevSplit(dev=0.1), is_regression=False)
    assert len(rows) == 120
    assert np.bincount(labels[rows].astype(int)).tolist() == [33, 34, 53]
    other = dev_rows(labels, DevSplit(dev=0.1, seed=1), is_regression=False)
    assert rows.tolist() != other.tolist()


def test_numbers_are_drawn_from_every_range_of_labels():
    labels = np.random.default_rng(0).exponential(size=1000)
    rows = dev_rows(labels, DevSplit(dev=0.1), is_regression=True)
    tenths = np.searchsorted(np.quantile(labels, np.linspace(0.1, 0.9, 9)), labels[rows])
    assert np.bincount(tenths, minlength=10).tolist() == [10] * 10
    # Labels that are all one are no trouble, nor are fewer dev rows than ranges.
    assert len(dev_rows(np.zeros(50), DevSplit(dev=0.06), is_regression=True)) == 3


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    share=st.floats(0.01, 0.99),
)
def test_a_regression_gives_the_nearest_share_that_keeps_a_training_row(labels, share):
    labels = np.array(labels, dtype=np.float64)
    rows = dev_rows(labels, DevSplit(dev=share), is_regression=True)
    assert len(set(rows.tolist())) == min(round(share * len(labels)), len(labels) - 1)


def test_five_rows_of_a_regression_give_nine_tenths():
    assert len(dev_rows(np.arange(5.0), DevSplit(dev=0.9), is_regression=True)) == 4


@pytest.fixture
def task(tmp_path) -> TaskSpec:
    labels = ["billing", "outage", "other", "other"]
    rows = "".join(f"k{n},text {n},{labels[n % 4]}\n" for n in range(400))
    (tmp_path / "train.csv").write_text("key,text,label\n" + rows + "k400,no label,\n")
    source = TableSource(
        train=str(tmp_path / "train.csv"),
        split=DevSplit(dev=0.1),
        columns=Columns(id="key", sentence1="text", label="label"),
    )
    return with_classes(TaskSpec(name="topic", kind=TaskKind.CLASSIFICATION, source=source))


def test_dev_rows_are_the_same_in_every_trial_and_never_trained_on(task):
    whole = load_examples(task, DataConfig(), "dev", seed=0)
    train = load_examples(task, DataConfig(), "train", seed=0)
    assert (len(whole), len(train)) == (40, 360)
    assert np.bincount(whole.labels.astype(int)).tolist() == [10, 20, 10]
    assert sorted([*whole.ids, *train.ids], key=lambda key: int(key[1:])) == [f"k{n}" for n in range(400)]
    assert train.ids == sorted(train.ids, key=lambda key: int(key[1:])), "in the order of the source"
    for seed, limit in ((1, None), (2, 50), (3, 7)):
        data = DataConfig(max_train_rows=limit)
        assert load_examples(task, data, "dev", seed=seed).ids == whole.ids
        assert not set(load_examples(task, data, "train", seed=seed).ids) & set(whole.ids)
    assert re.findall(r"\d+", whole.rows_read.note()) == ["40", "400", "0"]  # rows, training rows, seed
    assert (train.rows_read.num_for_dev, train.rows_read.unlabeled.places) == (40, "row 401 (id k400)")


def test_another_file_of_training_rows_is_refused(task, tmp_path):
    data = DataConfig(train_files={"topic": str(tmp_path / "train.csv")})
    for split in ("train", "dev"):
        with pytest.raises(DataError, match=r"data\.train_files .* task 'topic'"):
            load_examples(task, data, split, seed=0)


def test_a_share_that_leaves_no_dev_row_is_refused(task):
    source = task.source.model_copy(update={"split": DevSplit(dev=0.001)})
    with pytest.raises(DataError, match=r"no dev row of 400 training rows with dev 0\.001"):
        load_examples(task.model_copy(update={"source": source}), DataConfig(), "train", seed=0)


def test_a_data_set_on_the_hub_is_cut_too(tmp_path, monkeypatch):
    import datasets
    import pandas as pd

    from mtbert_ray.tasks import HubSource

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    frame = pd.DataFrame({"text": [f"text {n}" for n in range(40)], "label": [n % 2 for n in range(40)]})
    frame.to_parquet(tmp_path / "set" / "train.parquet")
    source = HubSource(
        dataset=str(tmp_path / "set"), split=DevSplit(dev=0.2, seed=3), columns=Columns(sentence1="text", label="label")
    )
    task = TaskSpec(name="mood", kind=TaskKind.CLASSIFICATION, num_classes=2, source=source)
    dev, train = (load_examples(task, DataConfig(), split, seed=0) for split in ("dev", "train"))
    assert (len(dev), len(train), dev.labels.mean()) == (8, 32, 0.5)
    assert re.findall(r"\d+", dev.rows_read.note()) == ["8", "40", "3"]
