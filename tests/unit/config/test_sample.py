"""SampleConfig from YAML: shares, descriptions, and every mistake with its place."""

from pathlib import Path

import pytest

from mtbert_ray.config.file import load_sample_config
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.errors import ConfigError

PAPER = Path(__file__).parents[3] / "search_spaces" / "paper" / "topics.yaml"


def problems_of(path: Path, text: str, *overrides: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_sample_config(path, overrides)
    return list(caught.value.problems)


def test_the_shipped_topics_are_the_papers():
    config = load_sample_config(PAPER)
    assert (config.rows, config.method, config.model, config.task.name) == (
        10_000,
        "zero_shot",
        "facebook/bart-large-mnli",
        "quora",
    )
    assert dict(config.shares) == {
        "Technology": 0.25,
        "Health": 0.25,
        "B2B/SaaS": 0.15,
        "Entertainment": 0.11,
        "Jobs and Career": 0.08,
        "Finance": 0.06,
        "Education": 0.05,
        "Electronics": 0.02,
        "Automotive": 0.02,
        "CPG": 0.01,
    }


def test_a_topic_is_a_share_or_a_share_and_a_description(tmp_path):
    path = tmp_path / "topics.yaml"
    path.write_text("method: embeddings\ntopics:\n  A: 0.25\n  B: {share: 0.75, description: bees}\n")
    topics = load_sample_config(path).topics
    assert (topics["A"].share, topics["A"].description) == (0.25, None)
    assert (topics["B"].share, topics["B"].description) == (0.75, "bees")


def test_a_key_on_the_command_line_takes_the_files_place(tmp_path):
    config = load_sample_config(PAPER, ["method=embeddings", "rows=50", "data.max_train_rows=100"])
    assert (config.method, config.rows, config.data.max_train_rows) == ("embeddings", 50, 100)


def test_files_are_taken_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nli").mkdir()
    config = load_sample_config(PAPER, ["data.source=course", "data.directory=here", "model=nli"])
    assert (config.data.directory, config.model) == (str(tmp_path / "here"), str(tmp_path / "nli"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("topics: {A: 0.5, B: 0.6}", "the shares of the topics must sum to 1, got 1.1 (A 0.5, B 0.6)"),
        ("topics: {A: 0.5, B: -0.5}", "topics.B has -0.5; must be greater than or equal to 0"),
        ("topics: {A: 1.0}", "at least 2 items"),
        ("topics: {A: 0.5, B: {part: 0.5}}", "topics.yaml:2: topics.B has no share"),
        ("topics: {A: 0.5, B: half}", "topics.yaml:2: topics.B has 'half'; must be a mapping"),
        ("topics: {A: 0.5, B: 0.5}\nhypothesis: About it", "hypothesis has 'About it'; must have {} once"),
        ("topics: {A: 0.5, B: 0.5}\nrows: 0", "topics.yaml:3: rows has 0; must be greater than or equal to 1"),
        ("topics: {A: 0.5, B: 0.5}\ntemprature: 1", "unknown key 'temprature'; did you mean 'temperature'?"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, expected):
    path = tmp_path / "topics.yaml"
    problems = problems_of(path, f"method: embeddings\n{text}\n")
    assert any(expected in problem for problem in problems), problems
    assert all(problem.startswith(f"{path}:") for problem in problems)


def test_an_unknown_or_missing_method_is_refused(tmp_path):
    text = "topics: {A: 0.5, B: 0.5}\n"
    path = tmp_path / "topics.yaml"
    assert problems_of(path, text) == [f"{path}: missing key 'method'"]
    assert problems_of(path, text, "method=embedings") == [
        "--set method=embedings: method has 'embedings'; did you mean 'embeddings'? (zero_shot, embeddings)"
    ]


def test_shares_may_be_off_by_rounding():
    topics = dict.fromkeys("ABC", 0.3333333)
    assert SampleConfig(topics=topics, method="embeddings").shares["A"] == 0.3333333
    with pytest.raises(ValueError, match="must sum to 1"):
        SampleConfig(topics=dict.fromkeys("ABC", 0.333), method="embeddings")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("topics:\n  Web 2.0: 0.25\n  Node.js: {share: 0.75, description: a run time}\n", []),
        ("topics.Web 2.0: 0.25\ntopics:\n  Node.js: {share: 0.75, description: a run time}\n", []),
        (
            "topics: {A: 1, B: 0}\n",
            ["topics={Web 2.0: 0.25, Node.js: {share: 0.75, description: a run time}}"],
        ),
    ],
)
def test_a_dot_in_a_topic_s_name_belongs_to_it(tmp_path, text, options):
    path = tmp_path / "topics.yaml"
    path.write_text(f"method: embeddings\n{text}")
    config = load_sample_config(path, options)
    assert dict(config.shares) == {"Web 2.0": 0.25, "Node.js": 0.75}
    assert config.topics["Node.js"].description == "a run time"


def test_an_option_reaches_a_topic_s_key_by_its_dots(tmp_path):
    path = tmp_path / "topics.yaml"
    path.write_text("method: embeddings\ntopics:\n  A: {share: 0.25}\n  B: {share: 0.75}\n")
    config = load_sample_config(path, ["topics.A.share=0.5", "topics.B.share=0.5"])
    assert dict(config.shares) == {"A": 0.5, "B": 0.5}
