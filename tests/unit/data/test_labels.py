"""Labels by name and by number, and the classes of tasks that leave them to their training rows."""

import numpy as np
import pandas as pd
import pytest

from mtbert_ray.config import DataConfig, TrialConfig
from mtbert_ray.data.classes import find_classes, with_classes
from mtbert_ray.data.sources import load_examples, load_file
from mtbert_ray.errors import ConfigError, DataError
from mtbert_ray.task_source import Columns, HubSource, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec

COLUMNS = Columns(sentence1="text", label="label")


def write(path, labels, *, texts=None) -> str:
    texts = texts or [f"text {number}" for number in range(len(labels))]
    frame = pd.DataFrame({"text": texts, "label": labels})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def task_of(train: str, dev: str | None = None, **fields) -> TaskSpec:
    source = TableSource(train=train, dev=dev or train, columns=COLUMNS)
    return TaskSpec(**{"name": "topic", "kind": TaskKind.CLASSIFICATION, "source": source, **fields})


def labels_read(task, split="train") -> list[float]:
    return load_examples(task, DataConfig(), split, seed=0).labels.tolist()


def refusal_of(task, split="train") -> str:
    with pytest.raises(DataError) as caught:
        load_examples(task, DataConfig(), split, seed=0)
    return str(caught.value)


NAMES = ["billing", "outage", "cancel"]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (["outage", " billing ", "cancel"], [1, 0, 2]),
        (["1", "0", "2"], [1, 0, 2]),
        ([1, 0, 2], [1, 0, 2]),
        ([1.0, 0.0, 2.0], [1, 0, 2]),
        (["1.0", "0", "2"], [1, 0, 2]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_classes_are_given_by_name_or_by_number(tmp_path, held, expected, ending):
    assert labels_read(task_of(write(tmp_path / f"a.{ending}", held), classes=NAMES)) == expected


def test_a_wrong_name_is_reported_with_its_row_and_the_nearest_right_one(tmp_path):
    task = task_of(write(tmp_path / "a.csv", ["billing", "outage", "outtage", "cancel"]), classes=NAMES)
    assert refusal_of(task) == (
        f"{tmp_path / 'a.csv'}: column 'label' has 1 of 4 labels that are not one of the classes billing, outage, "
        "cancel: row 3 has 'outtage'; did you mean 'outage'? Correct these rows, or the declaration of task 'topic'"
    )


def test_numbers_that_are_names_are_never_taken_for_the_numbers_of_classes(tmp_path):
    task = task_of(write(tmp_path / "a.csv", [1, 3, 2]), classes=["1", "2", "3"])
    assert labels_read(task) == [0, 2, 1]
    assert "row 1 has '0'" in refusal_of(task_of(write(tmp_path / "b.csv", [0, 1, 2]), classes=["1", "2", "3"]))


@pytest.mark.parametrize("fields", [{"num_classes": 3}, {"classes": NAMES}])
def test_labels_that_count_from_one_get_a_hint(tmp_path, fields):
    message = refusal_of(task_of(write(tmp_path / "a.csv", [1, 2, 3, 1]), **fields))
    assert "row 3 has '3'" in message and "labels seem to count from 1" in message and "subtract 1" in message


def test_names_without_classes_get_a_hint(tmp_path):
    message = refusal_of(task_of(write(tmp_path / "a.csv", ["good", "bad", "bad"]), num_classes=2))
    assert message.endswith("leave num_classes out, then the names of the classes are taken from the file")


BOOLEANS = [
    ("a.parquet", [True, False, True]),
    ("a.csv", ["True", "False", "True"]),
    ("a.csv", ["TRUE", "false", "true"]),
]


@pytest.mark.parametrize(("name", "held"), BOOLEANS)
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_classes": 2}, [1, 0, 1]),
        ({"classes": ["True", "False"]}, [0, 1, 0]),
        ({"classes": ["unknown", "TRUE", "false"]}, [1, 2, 1]),
    ],
)
def test_booleans_are_false_and_true_by_number_or_by_name(tmp_path, name, held, fields, expected):
    assert labels_read(task_of(write(tmp_path / name, held), **fields)) == expected


@pytest.mark.parametrize(("name", "held"), BOOLEANS)
@pytest.mark.parametrize("fields", [{"classes": ["yes", "no"]}, {"classes": ["0", "1"]}, {"num_classes": 3}])
def test_booleans_are_not_taken_for_other_names(tmp_path, name, held, fields):
    message = refusal_of(task_of(write(tmp_path / name, held), **fields))
    assert "has 3 of 3 labels that are not" in message
    assert message.endswith("write classes: ['false', 'true'], in quotes")


def test_booleans_among_numbers_and_of_a_regression_are_refused(tmp_path):
    mixed = refusal_of(task_of(write(tmp_path / "a.csv", ["0", "1", "True"]), num_classes=2))
    assert "has 1 of 3 labels that are not a class 0 to 1: row 3 has 'True'" in mixed
    for name, held in BOOLEANS[:2]:
        task = task_of(write(tmp_path / name, held), kind=TaskKind.REGRESSION, label_range=(0, 1))
        assert "3 of 3 labels that are not a number" in refusal_of(task)


# -1, which means that there is no label where it is none


@pytest.mark.parametrize("held", [[-1, -1], ["-1", "-1.0"], [-1.0, None]])
@pytest.mark.parametrize("fields", [{"num_classes": 2}, {"classes": ["bad", "good"]}])
def test_a_file_of_minus_ones_has_no_labels_to_score(tmp_path, held, fields):
    train = write(tmp_path / "train.csv", [0, 1])
    for ending in ("csv", "parquet"):
        if ending == "parquet" and any(isinstance(label, str) for label in held):
            continue
        examples = load_file(task_of(train, **fields), tmp_path / write(tmp_path / f"test.{ending}", held))
        assert (len(examples), examples.labels, examples.rows_read.note()) == (2, None, None)


def test_minus_one_leaves_a_training_row_out_with_a_note(tmp_path):
    task = task_of(write(tmp_path / "a.csv", [0, 1] * 60 + [-1]), num_classes=2)
    examples = load_examples(task, DataConfig(), "train", seed=0)
    assert (len(examples), examples.rows_read.unlabeled.places) == (120, "row 121")
    assert "no label in 2 of 3 rows" in refusal_of(task_of(write(tmp_path / "b.csv", [0, -1, -1]), num_classes=2))


def test_minus_one_is_a_label_where_it_is_a_valid_one(tmp_path):
    path = write(tmp_path / "a.csv", [-1, 0, 1])
    assert labels_read(task_of(path, classes=["-1", "0", "1"])) == [0, 1, 2]
    assert labels_read(task_of(path, kind=TaskKind.REGRESSION, label_range=(-1, 1))) == [-1, 0, 1]
    pairs = task_of(write(tmp_path / "b.csv", [0.5] * 120 + [-1]), kind=TaskKind.REGRESSION, label_range=(0, 1))
    assert len(labels_read(pairs)) == 120


# Classes taken from the training rows


@pytest.mark.parametrize(
    ("held", "classes"),
    [
        (["outage", "billing", " outage", "cancel", ""], ("billing", "cancel", "outage")),
        ([10, 9, 10, 2], ("2", "9", "10")),
        (["10", "9.0", "10", "2"], ("2", "9", "10")),
        ([1.0, 2.0, 2.0], ("1", "2")),
        (["1", "b", "1"], ("1", "b")),
        (["1", "b", "1.0", "1."], ("1", "b")),
        (["1.0", "2", "1", "2.00"], ("1", "2")),
        (["01", "1", "02", "01"], ("01", "02", "1")),
        (["010", "007", "10", "10.0"], ("007", "010", "10")),
        (["+1", "1", "1"], ("+1", "1")),
        (["9007199254740993", "9007199254740992"] * 2, ("9007199254740992", "9007199254740993")),
        (["caf\u00e9", "cafe\u0301", "bar"], ("bar", "caf\u00e9")),
    ],
)
def test_classes_are_the_labels_of_the_training_rows_in_order(tmp_path, held, classes):
    task = with_classes(task_of(write(tmp_path / "a.csv", held)))
    assert (task.classes, task.num_classes) == (classes, len(classes))


def test_labels_found_are_read_as_the_classes_that_they_are(tmp_path):
    task = with_classes(task_of(write(tmp_path / "a.csv", ["01", "1", "02", "1.0"])))
    assert labels_read(task) == [0, 2, 1, 2]
    assert "row 1 has '2'" in refusal_of(task_of(write(tmp_path / "b.csv", ["2", "01"]), classes=["01", "02"]))


@pytest.mark.parametrize(("name", "held"), BOOLEANS)
def test_booleans_are_classes_of_their_own_names(tmp_path, name, held):
    task = with_classes(task_of(write(tmp_path / name, held)))
    assert (task.classes, labels_read(task)) == (("false", "true"), [1, 0, 1])


def test_accents_are_compared_however_unicode_composes_them(tmp_path):
    path = write(tmp_path / "a.csv", ["cafe\u0301", "caf\u00e9", "bar"])
    for name in ("caf\u00e9", "cafe\u0301"):
        assert labels_read(task_of(path, classes=["bar", name])) == [1, 1, 0]


@pytest.mark.parametrize("word", ["NaN", "nan", "None", "N/A"])
def test_words_for_nothing_among_numbers_are_texts(tmp_path, word):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"t,{label}\n" for label in ["0", "1"] * 20 + [word]))
    with pytest.raises(DataError) as caught:
        with_classes(task_of(str(path)))
    assert f"'{word}'" in str(caught.value)
    for fields in ({"num_classes": 2}, {"kind": TaskKind.REGRESSION, "label_range": (0, 1)}):
        message = refusal_of(task_of(str(path), **fields))
        assert f"row 41 has '{word}'" in message
        assert message.endswith(f"'{word}' is a text like others, an empty field means that there is no label")


def test_labels_of_bytes_are_text_or_refused(tmp_path):
    task = with_classes(task_of(write(tmp_path / "a.parquet", [b"a", "caf\u00e9".encode(), b"a"])))
    assert (task.classes, labels_read(task)) == (("a", "caf\u00e9"), [0, 1, 0])
    latin = write(tmp_path / "b.parquet", [b"a", b"caf\xe9", b"a"])
    with pytest.raises(DataError, match="holds bytes that are not UTF-8 text"):
        with_classes(task_of(latin))
    assert "row 1 has b'a'" in refusal_of(task_of(latin, classes=["a", "b"]))


def test_what_was_found_is_listed_and_the_rest_stays_as_it_is(tmp_path):
    task = task_of(write(tmp_path / "topics-train.csv", ["outage", "billing", "other", "other"]))
    config, found = find_classes(TrialConfig(tasks=["sst", task, "sts"]))
    assert found == ["topic: 3 classes from topics-train.csv: billing, other, outage"]
    assert [one.name for one in config.tasks] == ["sst", "topic", "sts"]
    assert labels_read(config.tasks[1]) == [2, 0, 1, 1]
    assert find_classes(config) == (config, [])


def test_dev_labels_that_no_training_row_has_are_named(tmp_path):
    dev = write(tmp_path / "dev.csv", ["outage", "billing", "refund", "outage"])
    task = with_classes(task_of(write(tmp_path / "a.csv", ["outage", "billing", "outage"]), dev))
    message = refusal_of(task, "dev")
    assert message.startswith(f"{dev}: column 'label' has 1 of 4 labels") and "row 3 has 'refund'" in message


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (["only"] * 4, "holds 1 different label ('only'), a classification needs at least 2"),
        (["", ""], "holds 0 different labels, a classification needs at least 2"),
        (["a", "b", "c"], "holds 3 different labels in 3 rows, so it hardly holds classes"),
        ([f"t{n}" for n in range(1200)] * 2, "holds 1,200 different labels in 2,400 rows, so it hardly holds classes"),
        ([f"a text of its own {n}" for n in range(40)] + ["twice", "twice", ""], "41 different labels in 42 rows"),
        ([0.5, 1.5, 0.5], "holds numbers such as 0.5, which are no classes; declare task 'topic' as a regression"),
        ([-1, 0, 1, 1], "classes: [-1, 0, 1], or classes: [0, 1] to leave these rows out"),
    ],
)
def test_labels_that_are_hardly_classes_are_refused(tmp_path, held, expected):
    with pytest.raises(DataError) as caught:
        with_classes(task_of(write(tmp_path / "a.csv", held)))
    assert str(caught.value).startswith(f"{tmp_path / 'a.csv'}: column 'label' ") and expected in str(caught.value)


def test_a_metric_of_an_unknown_class_is_reported_once_the_classes_are_known(tmp_path):
    task = task_of(write(tmp_path / "a.csv", ["outage", "billing", "billing"]), metrics=["f1.outtage"])
    with pytest.raises(ConfigError, match=r"task 'topic': .*did you mean 'outage'"):
        with_classes(task)


# Of a data set that names its classes


@pytest.fixture
def named_folder(tmp_path, monkeypatch):
    """A local folder whose label column is a ClassLabel, as `load_dataset` reads it."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    folder = tmp_path / "named"
    folder.mkdir()
    rows = {"train": [1, 0, 1], "validation": [0, 1], "test": [-1, -1]}
    for split, labels in rows.items():
        content = {"text": [f"text {number}" for number in range(len(labels))], "label": labels}
        datasets.Dataset.from_dict(content, features=features).to_parquet(str(folder / f"{split}.parquet"))
    return folder


def hub_task(folder, **fields) -> TaskSpec:
    source = HubSource(dataset=str(folder), columns=COLUMNS, test_split="test")
    return TaskSpec(name="mood", kind=TaskKind.CLASSIFICATION, source=source, **fields)


@pytest.mark.parametrize("fields", [{}, {"num_classes": 2}])
def test_a_data_set_on_the_hub_names_its_classes(named_folder, fields):
    config, found = find_classes(TrialConfig(tasks=[hub_task(named_folder, **fields)]))
    assert found == ["mood: 2 classes from named: neg, pos"]
    (task,) = config.tasks
    assert (task.classes, labels_read(task), labels_read(task, "dev")) == (("neg", "pos"), [1, 0, 1], [0, 1])
    assert load_examples(task, DataConfig(), "test", seed=0).labels is None


def test_names_that_the_user_gives_win_over_the_data_set_s(named_folder):
    renamed = hub_task(named_folder, classes=["bad", "good"])
    assert with_classes(renamed) == renamed
    assert labels_read(renamed) == [1, 0, 1]
    assert labels_read(hub_task(named_folder, classes=["pos", "neg"])) == [0, 1, 0]
    more = hub_task(named_folder, num_classes=3)
    assert with_classes(more) == more and labels_read(more) == [1, 0, 1]


def test_labels_in_lists_are_refused(tmp_path):
    pd.DataFrame({"text": ["a", "b"], "label": [["x"], ["y"]]}).to_parquet(tmp_path / "a.parquet")
    assert "2 of 2 labels that are not" in refusal_of(task_of(str(tmp_path / "a.parquet"), classes=NAMES))


def test_nothing_of_a_number_is_lost(tmp_path):
    task = task_of(write(tmp_path / "a.csv", [0.1, 2.5]), kind=TaskKind.REGRESSION, label_range=(0, 5))
    np.testing.assert_array_equal(labels_read(task), [0.1, 2.5])


TOPICS = ["business", "sports", "tech"]


@pytest.fixture
def topics_folder(tmp_path, monkeypatch):
    """Make a local folder whose label column is a ClassLabel of these names."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def make(names, labels):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        content = {"text": [f"text {number}" for number in range(len(labels))], "label": labels}
        (tmp_path / "topics").mkdir()
        for split in ("train", "validation"):
            datasets.Dataset.from_dict(content, features=features).to_parquet(tmp_path / "topics" / f"{split}.parquet")
        return tmp_path / "topics"

    return make


@pytest.mark.parametrize(
    ("names", "labels", "classes", "expected"),
    [
        (TOPICS, [0, 1, 2], ["sports", "business", "tech", "other"], ["business", "sports", "tech"]),
        (TOPICS, [0, 1, 1], ["sports", "business"], ["business", "sports", "sports"]),
        (TOPICS, [0, 1, 2], ["money", "games", "code"], ["money", "games", "code"]),
        (["2", "1", "0"], [0, 1, 2], ["0", "1", "2", "3"], ["2", "1", "0"]),
        (["2", "1", "0"], [0, 1, 2], ["0", "1", "2"], ["2", "1", "0"]),
        (["neg", "pos"], [0, 1, 1], ["1", "0"], ["1", "0", "0"]),  # Names that are numbers too.
        (["False", "True"], [0, 1, 1], ["true", "false"], ["false", "true", "true"]),
    ],
)
def test_classes_of_a_data_set_have_its_names(topics_folder, names, labels, classes, expected):
    task = hub_task(topics_folder(names, labels), classes=classes)
    assert [task.class_names[int(label)] for label in labels_read(task)] == expected


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (TOPICS, ["sports", "business", "technology"]),
        (TOPICS, ["Sports", "Business", "Tech"]),
        (TOPICS, ["sports", "business"]),
        (TOPICS, ["a", "b", "c", "d"]),
        (["01", "02", "03"], ["2", "1", "3"]),
    ],
)
def test_names_that_are_partly_those_of_the_data_set_are_refused_with_both_lists(topics_folder, names, classes):
    message = refusal_of(hub_task(topics_folder(names, [0, 1, 2]), classes=classes))
    assert ", ".join(names) in message and ", ".join(classes) in message
