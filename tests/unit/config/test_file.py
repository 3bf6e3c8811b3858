"""Reading a config from YAML and --set: every mistake at once and in its place."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistake_cases import CONFIG_MISTAKES, fields
from pydantic import ValidationError

from mtbert_ray.config import TrialConfig, dotted, nest
from mtbert_ray.config.file import load_config
from mtbert_ray.config.keys import flatten, leaf_keys
from mtbert_ray.config.yaml_lines import read_assignments
from mtbert_ray.errors import ConfigError, Mistake, Problems
from mtbert_ray.metrics import RESERVED_NAMES

HEADS_OF_ALL = {"sst": 1, "quora": 2, "sts": 0}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write a file as config.yaml and read it, with overrides on top."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(content: str | bytes, *overrides: str) -> TrialConfig:
        Path("config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_config(Path("config.yaml"), overrides)

    return write_and_load


def problems(read, content, *overrides: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        read(content, *overrides)
    return caught.value.problems


# Every mistake, with its place and the nearest right name


def test_every_mistake_is_told_at_once_with_its_place_and_the_nearest_name(read):
    content = """\
epoch: 3
adapter: {kind: lroa, rnak: 3, dropout: 2}
batch_size: many
data: {source: corse}
resources: {gpus_per_worker: atuo, gpus: 1}
"""
    assert fields(problems(read, content)) == [
        (1, "epoch", "unknown_key"),
        (2, "adapter.rnak", "unknown_key"),
        (2, "adapter.kind", "not_allowed"),
        (2, "adapter.dropout", "out_of_bounds"),
        (3, "batch_size", "wrong_type"),
        (4, "data.source", "not_allowed"),
        (5, "resources.gpus", "unknown_key"),
        (5, "resources.gpus_per_worker", "not_allowed"),
    ]


@pytest.mark.parametrize(("content", "expected"), CONFIG_MISTAKES)
def test_one_mistake_is_one_line(read, content, expected):
    assert fields(problems(read, content)) == [(1, *expected)]


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_task_cannot_take_the_name_of_something_else_in_a_report(name):
    task = {"name": name, "kind": "classification", "num_classes": 2}
    source = {"train": "a.csv", "dev": "b.csv", "columns": {}}
    with pytest.raises(ValidationError, match=f"tasks.0 cannot be named {name}"):
        TrialConfig(tasks=({**task, "source": source},))


# Files that are none


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "config.yaml"),
        ("- epochs\n", "config.yaml:1"),
        ("epochs\n", "config.yaml:1"),
        (bytes(range(256)), "config.yaml"),
        (b"epochs: \x00", "config.yaml:1:9"),
        ("epochs: [3\n", "config.yaml:1:9"),
        ("epochs: 3\nepochs: 4\n", "config.yaml:2"),
        ("epochs: 3\n---\nepochs: 4\n", "config.yaml:2:1"),
        ("epochs: !!python/object:os.system {}\n", "config.yaml:1:9"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(read, content, place):
    [problem] = problems(read, content)
    assert problem.startswith(f"{place}: ")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path, what in ((tmp_path / "nowhere.yaml", "no such file"), (tmp_path, "is a folder; give one of its YAML")):
        with pytest.raises(ConfigError, match=rf"^{path}: {what}"):
            load_config(path)


# Dotted and nested keys, and what --set does


@pytest.mark.parametrize(
    ("dotted", "nested"),
    [
        ({}, {}),
        ({"adapter.rank": 8}, {"adapter": {"rank": 8}}),
        ({"adapter": {"kind": "lora"}, "adapter.rank": 8}, {"adapter": {"kind": "lora", "rank": 8}}),
        ({"adapter.rank": 8, "adapter": {"kind": "lora"}}, {"adapter": {"kind": "lora", "rank": 8}}),
        ({"adapter.rank": 8, "adapter": {"rank": 2}}, {"adapter": {"rank": 2}}),
        ({"adapter": {}}, {"adapter": {}}),
        ({"a": {"b": {"d": 2}}, "a.b.e": 3}, {"a": {"b": {"d": 2, "e": 3}}}),
        ({"a.b": {"c": 1}, "a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}),
        ({"tasks": [{"name": "x.y"}]}, {"tasks": [{"name": "x.y"}]}),
    ],
)
def test_dotted_and_nested_keys_are_merged(dotted, nested):
    assert nest(dotted) == nested


@pytest.mark.parametrize(
    "dotted",
    [
        {"adapter": 3, "adapter.rank": 4},
        {"adapter.rank": 4, "adapter": 3},
        {"adapter": 3, "adapter.rank.more": 4},
        {"adapter": 3, "adapter.rank": {"more": 4}},
    ],
)
def test_a_value_with_keys_below_it_is_refused(dotted):
    with pytest.raises(ConfigError, match="'adapter' has the value 3 and keys below it"):
        nest(dotted)


def test_every_conflict_is_told_at_once(read):
    content = "adapter: 3\nadapter.rank: 4\ndata: {max_length.x: 1, max_length: 2}\nadapter.kind: lora\n"
    found = problems(read, content)
    assert fields(found) == [(1, "adapter", "conflict"), (3, "data.max_length", "conflict")]


def test_a_key_that_stands_twice_is_refused(read):
    found = problems(read, "adapter.rank: 2\nadapter: {rank: 3}\n")
    assert fields(found) == [(2, "adapter.rank", "duplicate_key")]


@given(keys=st.sets(st.sampled_from(leaf_keys(TrialConfig)), max_size=12), data=st.data())
def test_any_mix_of_dotted_and_nested_keys_means_the_same(keys, data):
    tree = nest({key: [key] for key in sorted(keys)})
    content: dict = {}
    for name, value in tree.items():
        below = dotted(value) if isinstance(value, dict) else {}
        for key, part in below.items():
            if data.draw(st.booleans()):
                content[f"{name}.{key}"] = part
            else:
                content.setdefault(name, {})[key] = part
        if not isinstance(value, dict):
            content[name] = value
    problems = Problems("F")
    assert flatten(TrialConfig, content, problems) == {key: [key] for key in keys}
    assert not problems.found


@pytest.mark.parametrize("content", ["adapter: {rank: 2}", "adapter.rank: 2"])
def test_an_override_counts_however_the_file_was_written(read, content):
    assert read(content, "adapter.rank=4").adapter.rank == 4
    assert read(content, "adapter={rank: 4}").adapter.rank == 4


def test_an_override_of_a_group_changes_the_keys_it_names_and_any_other_replaces_the_value(read):
    content = "adapter: {kind: lora, rank: 2}\nhidden_layers: {sst: 1, quora: 2, sts: 0}\ndata.max_train_rows: {sst: 9}"
    assert read(content, "adapter={rank: 4}").adapter.kind == "lora"
    assert read(content, "hidden_layers=3").hidden_layers == 3
    assert read(content, "hidden_layers.sst=5").hidden_layers == {**HEADS_OF_ALL, "sst": 5}
    assert read(content, "data.max_train_rows={sts: 7}").data.max_train_rows == {"sts": 7}
    assert read("hidden_layers: 2", f"hidden_layers={HEADS_OF_ALL}").hidden_layers == HEADS_OF_ALL


def test_a_mistake_of_an_option_is_not_blamed_on_the_file(read):
    found = problems(read, "epoch: 3\nhidden_layers: 1", "adapter.kind=lroa", "adaptor.rank=3", "epochs=x")
    assert [(problem.place, problem.key, problem.code) for problem in found] == [
        ("config.yaml:1", "epoch", "unknown_key"),
        ("--set adaptor.rank=3", "adaptor.rank", "unknown_key"),
        ("--set adapter.kind=lroa", "adapter.kind", "not_allowed"),
        ("--set epochs=x", "epochs", "wrong_type"),
    ]
    [problem] = problems(read, "hidden_layers: 1", "hidden_layers.sst=2")
    assert (problem.place, problem.code) == ("--set hidden_layers.sst=2", "conflict")


def test_without_a_file_options_stand_on_the_defaults():
    assert load_config(None) == TrialConfig()
    assert load_config(None, ["adapter.rank=2", "epochs=1"]) == TrialConfig(adapter={"rank": 2}, epochs=1)
    with pytest.raises(ConfigError, match=r"^--set epochs=many: epochs has 'many'"):
        load_config(None, ["epochs=many"])


@pytest.mark.parametrize(
    ("text", "assignment"),
    [
        ("epochs=3", ("epochs", 3)),
        (" epochs = 3 ", ("epochs", 3)),
        ("learning_rate=1e-5", ("learning_rate", 1e-5)),
        ("encoder=a=b", ("encoder", "a=b")),
        ("adapter={kind: lora, rank: 4}", ("adapter", {"kind": "lora", "rank": 4})),
        ("tasks=[sst, sts]", ("tasks", ["sst", "sts"])),
        ('encoder="12"', ("encoder", "12")),
        ("max_grad_norm=null", ("max_grad_norm", None)),
        ("max_grad_norm=", ("max_grad_norm", None)),
        ("encoder=no", ("encoder", "no")),
        ("encoder=2020-01-01", ("encoder", date(2020, 1, 1))),
    ],
)
def test_an_assignment_is_a_key_and_a_value_of_yaml(text, assignment):
    problems = Problems("--set")
    assert list(read_assignments([text], problems)) == [(f"--set {text}", *assignment)]
    assert not problems.found


@pytest.mark.parametrize("text", ["epochs", "=3", "  =3", "", "epochs={", "epochs=!!nothing 3", "epochs=\x00"])
def test_an_assignment_without_a_key_a_sign_or_yaml_is_refused_with_all_others(text):
    problems = Problems("--set")
    assert list(read_assignments([text, "seed=1"], problems)) == [("--set seed=1", "seed", 1)]
    assert [problem.place for problem in problems.found] == [f"--set {text}"]


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.integers() | st.lists(st.integers()), min_size=1)
)
def test_dotted_keys_and_nested_dicts_are_two_forms_of_one_thing(flat):
    content = {f"{key}.part.{key}": value for key, value in flat.items()}
    assert dotted(nest(content)) == content
