"""The whole sample: what is drawn, what is written, and that it can be trained on."""

import json

import numpy as np
import pandas as pd
import pytest

from mtbert_ray.config import DataConfig
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import ConfigError, UserError
from mtbert_ray.sampling.files import about_path, check_target, write_sample
from mtbert_ray.sampling.sample import distinct, draw_sample
from mtbert_ray.tasks import QUORA, SST, TaskSpec

DESCRIBED = {
    "Travel": {"share": 0.5, "description": "travelling to a city, its airport and what a week there costs"},
    "Cooking": {"share": 0.3, "description": "cooking, recipes, ingredients, and how long food keeps"},
    "Pets": {"share": 0.2, "description": "keeping a pet: what animals eat and how old they get"},
}


WORDS = (
    ("airport", "travel", "visit", "city", "budget"),
    ("recipe", "cook", "fridge", "drink", "ingredient"),
    ("rabbit", "parrot", "tortoise", "hamster", "goldfish", "pony", "kitten", "guinea pig", "canary", "greyhound"),
)


@pytest.fixture(scope="module")
def described() -> SampleConfig:
    return SampleConfig(
        topics=DESCRIBED, method="embeddings", rows=50, data=DataConfig(max_train_rows=150), temperature=0.02
    )


@pytest.fixture(scope="module")
def drawn(described, tmp_path_factory):
    return draw_sample(described, cache=tmp_path_factory.mktemp("cache"))


def test_each_text_is_classified_once():
    texts, positions = distinct([["b", "ccc", "b"], ["ccc", "a", "dd"]])
    assert texts == ["ccc", "dd", "a", "b"]
    assert positions.tolist() == [[3, 0], [0, 2], [3, 1]]


def test_topics_get_their_quotas_of_rows_that_speak_of_them(drawn):
    assert [topic.quota for topic in drawn.topics] == [25, 15, 10]
    for topic, words in zip(drawn.topics, WORDS, strict=True):
        assert 0 < len(topic.rows) <= topic.quota
        assert (np.diff(topic.confidence) <= 0).all()
        texts = [drawn.examples.sentence1[row] + drawn.examples.sentence2[row] for row in topic.rows[:3]]
        assert all(any(word in text.lower() for word in words) for text in texts), (topic.name, texts)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("source", ["toy", "course"])
def test_the_file_is_read_back_as_training_rows(drawn, described, tmp_path, suffix, source):
    path = tmp_path / f"sample{suffix}"
    write_sample(drawn, described, path)
    data = DataConfig(source=source, directory=str(tmp_path), train_files={"quora": str(path)})
    back = load_examples(QUORA, data, "train", seed=0)
    rows = np.concatenate([topic.rows for topic in drawn.topics])
    assert back.ids == [drawn.examples.ids[row] for row in rows]
    assert back.sentence1 == [drawn.examples.sentence1[row] for row in rows]
    assert back.sentence2 == [drawn.examples.sentence2[row] for row in rows]
    np.testing.assert_array_equal(back.labels, drawn.examples.labels[rows])


def test_every_row_has_its_topic_and_confidence(drawn, described, tmp_path):
    write_sample(drawn, described, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv", sep="\t", index_col=0)
    assert list(frame.columns) == ["id", "sentence1", "sentence2", "is_duplicate", "topic", "confidence"]
    assert frame["topic"].value_counts().to_dict() == {topic.name: len(topic.rows) for topic in drawn.topics}
    for number, row in frame.iterrows():
        assert drawn.examples.sentence1[number] == row["sentence1"]
    assert frame["confidence"].between(1 / 3, 1).all()


def test_the_json_describes_how_it_was_drawn_and_what_is_short(drawn, described, tmp_path):
    short = draw_sample(described.model_copy(update={"rows": 400}))
    path = tmp_path / "a.csv"
    write_sample(short, described.model_copy(update={"rows": 400}), path)
    about = json.loads(about_path(path).read_text())
    assert (about["rows"], about["rows_wanted"], about["method"], about["encoder"]) == (
        150,
        400,
        "embeddings",
        "minilm",
    )
    assert about["data"]["rows"] == 150 and about["data"]["fingerprint"] == drawn.fingerprint
    assert about["topics"]["Cooking"]["quota"] == 120
    for topic in about["topics"].values():
        assert topic["rows"] == topic["rows_of_this_topic"] == topic["quota"] - topic["short_of"]


def test_other_quotas_of_the_same_rows_classify_nothing(described, tmp_path):
    first = draw_sample(described, cache=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tokens", "topics"}
    others = described.model_copy(update={"rows": 9})
    again = draw_sample(others, cache=tmp_path)
    assert (first.num_found, again.num_found) == (0, again.num_texts) and first.num_texts == again.num_texts
    assert again.num_rows == 9
    np.testing.assert_array_equal(again.topics[0].rows, first.topics[0].rows[: len(again.topics[0].rows)])


def test_the_nli_route_takes_both_sentences_of_a_pair(make_config, make_nli, tmp_path):
    config = make_config(method="zero_shot", model=make_nli(), rows=12, data={"max_train_rows": 15})
    sample = draw_sample(config, cache=tmp_path)
    assert sample.num_texts == 15 and 0 < sample.num_rows <= 12
    again = draw_sample(make_config(method="zero_shot", model=config.model, rows=6, data=config.data), cache=tmp_path)
    assert again.num_found == 15


def test_a_single_sentence_task_and_its_own_table(tmp_path):
    rows = "".join(f"{number % 3};the {number}. soup was salty;\n" for number in range(1, 9))
    (tmp_path / "train.csv").write_text("grade;text;topics\n" + rows)
    table = {"train": str(tmp_path / "train.csv"), "dev": "dev.csv", "separator": ";"}
    source = {**table, "columns": {"sentence1": "text", "label": "grade"}}
    task = TaskSpec.model_validate({"name": "dish", "kind": "classification", "num_classes": 3, "source": source})
    config = SampleConfig(task=task, topics={"Soup": 0.5, "Cars": 0.5}, method="embeddings", encoder="tiny", rows=8)
    sample = draw_sample(config, cache=tmp_path / "cache")
    write_sample(sample, config, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "text;grade;topic;confidence"
    back = load_examples(task, DataConfig(train_files={"dish": str(tmp_path / "out.csv")}), "train", seed=0)
    assert len(back) == sample.num_rows > 0 and back.sentence2 is None


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ({"quoting": "none"}, ['"the soup', 'was "good"', "a \\ b"]),
        ({"escapechar": "\\"}, ['"the \\\\ soup"', '"was \\"good\\""', '"so; so"']),
        ({}, ['"the ""soup"""', "was fine", '"so; so"']),
    ],
)
def test_named_classes_and_other_ways_of_quoting_are_read_back_too(tmp_path, form, texts):
    rows = "".join(f"{('2', '3', '1')[number % 3]};{texts[number % 3]}\n" for number in range(12))
    (tmp_path / "train.csv").write_text("grade;text\n" + rows)
    table = {"train": str(tmp_path / "train.csv"), "dev": "dev.csv", "separator": ";", **form}
    source = {**table, "columns": {"sentence1": "text", "label": "grade"}}
    task = TaskSpec.model_validate({"name": "dish", "kind": "classification", "source": source})
    config = SampleConfig(task=task, topics={"Soup": 0.5, "Cars": 0.5}, method="embeddings", encoder="tiny", rows=12)
    sample = draw_sample(config, cache=tmp_path / "cache")
    assert sample.task.classes == ("1", "2", "3")
    write_sample(sample, config, tmp_path / "out.csv")
    back = load_examples(sample.task, DataConfig(train_files={"dish": str(tmp_path / "out.csv")}), "train", seed=0)
    drawn = np.concatenate([topic.rows for topic in sample.topics])
    assert back.sentence1 == [sample.examples.sentence1[row] for row in drawn] and len(back) > 0
    np.testing.assert_array_equal(back.labels, sample.examples.labels[drawn])


HARD = ["the soup, cold\nand salty", "a\ttab, and\r\na break", "one\rreturn", 'a "quote", and one', "fine", "\\"]


def hub_task(folder) -> TaskSpec:
    folder.mkdir()
    rows = {"text": [f"{HARD[n % 6]} {n}" for n in range(24)], "label": [n % 2 for n in range(24)]}
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    source = {"dataset": str(folder), "columns": {"sentence1": "text"}}
    return TaskSpec.model_validate({"name": "dish", "kind": "classification", "num_classes": 2, "source": source})


def course_task(folder) -> TaskSpec:
    folder.mkdir()
    lines = [f'{n}\tq{n}\t"soup, {n}\nand more"\t"a ""car"" {n}"\t{n % 2}' for n in range(12)]
    (folder / "quora-train.csv").write_text("\n".join(["\tid\tsentence1\tsentence2\tis_duplicate", *lines, ""]))
    return QUORA


def table_task(folder) -> TaskSpec:
    task = hub_task(folder)
    source = {"train": str(folder / "train.parquet"), "dev": "dev.csv", "columns": {"sentence1": "text"}}
    return TaskSpec.model_validate({**task.model_dump(), "source": source})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("make_task", [hub_task, course_task, table_task])
def test_what_is_written_is_read_back_whole_or_nothing_is(make_task, suffix, tmp_path):
    """Other kinds of files and data sets hold texts that delimited text could not give back."""
    task, path = make_task(tmp_path / "data"), tmp_path / f"out{suffix}"
    data = DataConfig(source="course", directory=str(tmp_path / "data"))
    config = SampleConfig(
        task=task, data=data, topics={"Soup": 0.5, "Cars": 0.5}, method="embeddings", encoder="tiny", rows=40
    )
    sample = draw_sample(config, cache=tmp_path / "cache")
    is_taken = suffix == ".parquet" or make_task is course_task
    if not is_taken:
        with pytest.raises(UserError) as raised:
            write_sample(sample, config, path)
        message = str(raised.value)
        assert message.startswith(
            f"--out {path}: as text its rows would not be read back as they are (the one with the"
        )
        assert "holds a line break and the separator" in message and f"give --out {tmp_path / 'out.parquet'}" in message
        assert {each.name for each in tmp_path.iterdir()} == {"data", "cache"}, "nothing is left behind"
        return
    write_sample(sample, config, path)
    train_files = {task.name: str(path)}
    back = load_examples(task, data.model_copy(update={"train_files": train_files}), "train", seed=0)
    drawn = np.concatenate([topic.rows for topic in sample.topics])
    assert len(back) == len(drawn) > 0
    assert back.sentence1 == [sample.examples.sentence1[row] for row in drawn]
    np.testing.assert_array_equal(back.labels, sample.examples.labels[drawn])


def test_a_task_whose_dev_rows_are_cut_from_the_training_rows_is_refused(tmp_path):
    columns = {"sentence1": "text"}
    for source, own in (({"train": "a.csv"}, "dev: FILE"), ({"dataset": "a/b"}, "dev_split: NAME")):
        cut = {**source, "split": {"dev": 0.1}, "columns": columns}
        task = TaskSpec.model_validate({"name": "mood", "kind": "classification", "num_classes": 3, "source": cut})
        with pytest.raises(ConfigError, match=rf"task 'mood': source.split .*{own}"):
            check_target(tmp_path / "new" / "a.csv", task)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_or_cannot_be_made_is_refused_before_the_work(tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    (tmp_path / "b.json").write_text("mine")
    for name, expected in {
        "mine.csv": "mine.csv exists already",
        "b.csv": "b.json exists already",
        "a.txt": "extension '.txt'.*csv, .tsv, .parquet",
        "mine.csv/below.csv": "mine.csv: is a file",
    }.items():
        with pytest.raises(UserError, match=expected):
            check_target(tmp_path / name, SST)


def test_a_task_whose_own_column_is_called_topic_is_refused(tmp_path):
    columns = {"sentence1": "text", "label": "topic"}
    source = {"train": "a.csv", "dev": "b.csv", "columns": columns}
    task = TaskSpec.model_validate({"name": "mood", "kind": "classification", "num_classes": 3, "source": source})
    with pytest.raises(ConfigError, match=r"task 'mood': .* column 'topic'"):
        check_target(tmp_path / "a.csv", task)


@pytest.mark.real_data
def test_real_questions_find_sensible_topics(real_data_dir, tmp_path):
    data = DataConfig(source="course", directory=str(real_data_dir), max_train_rows=400)
    topics = {
        "Health": {"share": 0.5, "description": "health, medicine, diseases, diet and weight loss"},
        "Technology": {"share": 0.5, "description": "computers, programming, software and the internet"},
        "Other": 0,
    }
    config = SampleConfig(topics=topics, method="embeddings", rows=20, data=data)
    sample = draw_sample(config, cache=tmp_path)
    assert sample.num_texts > 700 and sample.num_rows == 20
    words = {"Health": ("weight", "health", "pain", "diet", "eat"), "Technology": ("program", "software", "computer")}
    for topic in sample.topics[:2]:
        texts = [f"{sample.examples.sentence1[row]} {sample.examples.sentence2[row]}".lower() for row in topic.rows]
        assert sum(any(word in text for word in words[topic.name]) for text in texts) >= 3, texts
