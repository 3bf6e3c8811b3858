"""The paper's numbers and the configs of its rows: complete, in our units, and those of the search spaces."""

from importlib.resources import files

import pytest
from ruamel.yaml import YAML

from mtbert_ray.config import dotted, nest
from mtbert_ray.config.file import load_sample_config
from mtbert_ray.reporting.config_diff import published_config, published_experiments
from mtbert_ray.reporting.paper_comparison import PublishedRow, published_rows

TABLES = range(1, 10)


def row(table: int, experiment: str) -> PublishedRow:
    return next(row for row in published_rows(table) if row.experiment == experiment)


def test_the_paper_s_costs_are_in_our_units():
    full = row(7, "full")
    assert full.metrics["train_seconds"] == 2 * 3600 + 3 * 60
    assert full.metrics["peak_memory_gib"] == pytest.approx(4750.8 / 1024)
    assert full.metrics["gpu_utilization_mean"] == 53.91
    assert row(1, "v1").metrics["peak_memory_gib"] is None
    assert published_rows(10) == ()


def test_hardware_is_given_where_the_paper_gives_it():
    given = {(table, row.experiment): row.hardware for table in TABLES for row in published_rows(table) if row.hardware}
    eight = dict.fromkeys([(8, name) for name in published_experiments(8)], "8 x A100")
    assert given == {(1, "v1"): "1 x T4", (6, "full"): "1 x T4", (7, "full"): "1 x A100"} | eight


@pytest.mark.parametrize("table", TABLES)
def test_numbers_configs_and_search_space_have_the_same_rows(table, paper_configs):
    assert tuple(row.experiment for row in published_rows(table)) == published_experiments(table)
    assert published_experiments(table) == tuple(paper_configs(table))


@pytest.mark.parametrize(
    ("table", "experiment"), [(table, name) for table in TABLES for name in published_experiments(table)]
)
def test_configs_are_those_of_the_search_space_key_by_key(table, experiment, paper_config):
    row = published_config(table, experiment)
    published = dotted(row.config.with_absolute_paths().model_dump())
    assert published == dotted(paper_config(table, experiment).model_dump())
    assert row.stated <= set(published)


def test_the_sample_is_that_of_its_yaml(paper_spaces):
    topics = load_sample_config(paper_spaces / "topics.yaml")
    sample = published_config(4, "sample").sample
    assert (sample.rows, sample.method, sample.model) == (topics.rows, topics.method, topics.model)
    assert sample.shares == topics.shares


@pytest.mark.parametrize(
    ("table", "experiment", "key", "words"),
    [
        (1, "v1", "epochs", "the paper: X"),
        (6, "full", "epochs", "table 6 here: X, assumed"),
        (6, "lora-loralib", "adapter.rank", "the paper: X"),
        (6, "dora-peft", "adapter.rank", "table 6 here: X, assumed"),
        (7, "full", "learning_rate", "the paper: X"),
        (7, "dora-r8", "learning_rate", "table 7 here: X, assumed"),
        (7, "dora-r8", "precision", "table 7 here: X, assumed"),
        (8, "dora-r8-bf16", "precision", "the paper: X"),
        (4, "sample", "epochs", "the paper: X"),
        (4, "all-then-heads-on-sample", "epochs", "table 4 here: X, assumed"),
        (9, "v2-smart", "smart.tasks", "table 9 here: X, assumed"),
    ],
)
def test_what_the_paper_leaves_open_is_called_assumed(table, experiment, key, words):
    assert published_config(table, experiment).named(key, "X") == words


def test_no_value_is_both_stated_and_assumed():
    content = YAML(typ="safe").load((files("mtbert_ray.reporting") / "published.yaml").read_text())
    tables = content["tables"].values()
    for layer in (content["everywhere"], *tables, *(row for table in tables for row in table["experiments"].values())):
        assert set(layer) <= {"stated", "assumed", "experiments"}
        stated, assumed = (dotted(nest(layer.get(kind, {}))) for kind in ("stated", "assumed"))
        assert not stated.keys() & assumed.keys()
