"""Reading a setting from YAML and --set: every mistake at once and in its place."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mtbert_ray.config import TrialConfig, dotted, nest
from mtbert_ray.config.file import load_config, parse_assignment
from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import RESERVED_NAMES

HEADS_OF_ALL = {"sst": 1, "quora": 2, "sts": 0}
OWN = "{name: topic, kind: classification, num_classes: 3, source: {train: a.csv, dev: b.csv, columns: {}}}"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write a file as config.yaml and read it, with overrides on top."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(content: str | bytes, overrides=None) -> TrialConfig:
        Path("config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_config(Path("config.yaml"), overrides)

    return write_and_load


def problems(read, content, overrides=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(content, overrides)
    return list(caught.value.problems)


# Every mistake, with its place and the nearest right name


def test_every_mistake_is_told_at_once_with_its_place_and_the_nearest_name(read):
    content = """\
epoch: 3
adapter: {kind: lroa, rnak: 3, dropout: 2}
batch_size: many
data: {source: corse}
resources: {gpus_per_worker: atuo, gpus: 1}
"""
    found = problems(read, content)
    assert [problem.split(" (experiment, ")[0] for problem in found] == [
        "config.yaml:1: unknown key 'epoch'; did you mean 'epochs'?",
        "config.yaml:2: adapter.kind has 'lroa'; did you mean 'lora'? (none, lora, dora, vera)",
        "config.yaml:2: adapter.dropout has 2; must be less than 1",
        "config.yaml:2: unknown key 'adapter.rnak'; did you mean 'adapter.rank'? (kind, library, rank, alpha, dropout, "
        "target_modules, rslora, initialization, learning_rate_ratio)",
        "config.yaml:3: batch_size has 'many'; must be a whole number",
        "config.yaml:4: data.source has 'corse'; did you mean 'course'? (toy, course)",
        "config.yaml:5: resources.gpus_per_worker has 'atuo'; did you mean 'auto'? (auto, a number)",
        "config.yaml:5: unknown key 'resources.gpus' (num_workers, gpus_per_worker, cpus_per_worker, launcher)",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("tasks: [sst, qora]", "tasks.1: unknown task 'qora' (known by name: sst, quora, sts; others need a mapping)"),
        ("tasks: [sst, sst]", "tasks.1 has the name 'sst', as tasks.0 has; names must be different"),
        ("tasks: []", "tasks has []; must have at least 1 item"),
        (
            f"tasks: [{OWN.replace('classification', 'clasification')}]",
            "tasks.0.kind has 'clasification'; did you mean",
        ),
        (
            f"tasks: [{OWN.replace('topic', 'step')}]",
            "tasks.0 cannot be named step: a report or a prediction file has that name already; choose another",
        ),
        ("hidden_layers: {sst: 1}", "hidden_layers names ['sst'], the tasks are ['quora', 'sst', 'sts']"),
        ("hidden_layers: {sst: 1, quora: -1, sts: 0}", "hidden_layers must not be negative"),
        ("hidden_layers: -1", "hidden_layers -1 must not be negative"),
        ("hidden_layers: {sst: two, quora: 1, sts: 1}", "hidden_layers.sst has 'two'; must be a whole number"),
        ("data: {max_train_rows: {qora: 5}}", "data.max_train_rows names ['qora'], the tasks are ['sst', 'quora', 'st"),
        (
            "data: {max_train_rows: {sst: 0}}",
            "data.max_train_rows.sst has 0; must be greater than or equal to 1",
        ),
        (
            "data: {source: course}",
            "data.source 'course' needs directory; give --data DIR, the folder of the course's files",
        ),
        (
            "{finetune: heads_only, adapter: {kind: dora}}",
            "finetune heads_only freezes the encoder, so adapter.kind do",
        ),
        (
            "{finetune: heads_only, pair_encoding: separate, hidden_layers: 0}",
            "leaves nothing to train for sts: a sepa",
        ),
        ("{batch_size: 3, resources: {num_workers: 4}}", "batch_size 3 is global and cannot feed 4 workers"),
        (
            "resources: {gpus_per_worker: 2}",
            "gpus_per_worker 2 must be 0, a fraction, or 1; for more raise num_workers",
        ),
        ("resources: {gpus_per_worker: 0.5, num_workers: 2}", "NCCL refuses two ranks on one GPU"),
        ("resources: {launcher: inline, num_workers: 2}", "launcher 'inline' has one worker, got num_workers 2; use"),
        ("resources: {gpus_per_worker: .nan}", "resources.gpus_per_worker has nan; must be a finite number"),
        ("learning_rate: .inf", "learning_rate has inf; must be a finite number"),
        ("adapter: {alpha: .inf}", "adapter.alpha has inf; must be a finite number"),
        ("adapter:", "adapter has null; must be a mapping"),
        ("3: 4", "unknown key '3': a number, and keys are names (experiment, "),
        ("1.5: 2", "unknown key '1.5': a number, and keys are names (experiment, "),
        ("adapter: {1.5: 2}", "unknown key 'adapter.1.5': a number, and keys are names (kind, "),
        ("adapter..rank: 3", "unknown key 'adapter..rank': a part of it is empty; write 'adapter.rank' ("),
        ("adapter.: 3", "unknown key 'adapter.': a part of it is empty; write 'adapter' ("),
        ("'': 3", "unknown key '': a key needs a name ("),
        ("adapter: {'': 3}", "unknown key 'adapter.': a key needs a name (kind, "),
        ("~: 2", "unknown key 'null' ("),
        (": 2", "unknown key 'null' ("),
        ("true: 2", "unknown key 'true' ("),
        ("adapter: {null: 2}", "unknown key 'adapter.null' ("),
        ("? [a, b]\n: 2", "unknown key '[a, b]' ("),
        (f"tasks: [{OWN.replace('num_classes: 3', 'classes: [null, a]')}]", "tasks.0.classes has null; a class's name"),
        (f"tasks: [{OWN.replace('num_classes: 3', 'classes: [true, a]')}]", "tasks.0.classes has true; a class's name"),
        ("adapter: {3: 4}", "unknown key 'adapter.3'"),
        ("hidden_layers: {1: 4}", "hidden_layers names ['1'], the tasks are"),
        ("encoder: 2020-01-01", "encoder has 2020-01-01; must be a text"),
    ],
)
def test_one_mistake_is_one_line(read, content, expected):
    [problem] = problems(read, content)
    assert problem.startswith("config.yaml:1: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{train: a.csv, columns: {}}", "tasks.0.source: give either dev: FILE or split: {dev: 0.1}"),
        ("{kind: parquet, train: a, dev: b, columns: {}}", "tasks.0.source.kind has 'parquet' (table, hub)"),
        (
            "a.csv",
            "tasks.0.source has 'a.csv'; must be a mapping with the files of a 'table' or the dataset of a 'hub'",
        ),
        (
            "{dataset: x/y, train: a, columns: {}}",
            "unknown key 'tasks.0.source.train'; did you mean 'tasks.0.source.train_split'?",
        ),
        (
            "{train: a, dev: b, columns: {}, quoting: none, escapechar: '\\'}",
            "quoting none has no quoted fields, so escap",
        ),
        ("{train: a, dev: b, columns: {}, escapechar: /}", "tasks.0.source.escapechar has '/' (\\)"),
        ("{train: a, dev: b, columns: {sentence2: s}}", "source.columns must not name sentence2 for a classification"),
    ],
)
def test_a_wrong_source_of_a_task_is_told_in_one_line(read, source, expected):
    task = OWN.replace("{train: a.csv, dev: b.csv, columns: {}}", source)
    [problem] = problems(read, f"tasks: [{task}]")
    assert expected in problem


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_task_cannot_take_the_name_of_something_else_in_a_report(name):
    task = {"name": name, "kind": "classification", "num_classes": 2}
    source = {"train": "a.csv", "dev": "b.csv", "columns": {}}
    with pytest.raises(ValidationError, match=f"tasks.0 cannot be named {name}"):
        TrialConfig(tasks=({**task, "source": source},))


# Files that are none


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "config.yaml: is empty"),
        ("# only a comment\n", "config.yaml: is empty"),
        ("- epochs\n", "config.yaml:1: must be a mapping of keys to values, got a list"),
        ("epochs\n", "config.yaml:1: must be a mapping of keys to values, got the single value 'epochs'"),
        (bytes(range(256)), "config.yaml: not a text file (byte 0x80 is not UTF-8)"),
        ("epochs: 3".encode("utf-16"), "config.yaml: not a text file (byte 0xff is not UTF-8)"),
        (b"epochs: \x00", "config.yaml:1:9: an invisible control character stands here"),
        ("epochs: [3\n", "config.yaml:1:9: the '[' that opens here is not closed by a ']', in `epochs: [3`"),
        ("epochs: 3\nepochs: 4\n", "config.yaml:2: duplicate key 'epochs'; it stands on line 1 already"),
        ("epochs: 3\n---\nepochs: 4\n", "config.yaml:2:1: a second document begins here"),
        (
            "epochs: !!python/object:os.system {}\n",
            "config.yaml:1:9: a value that begins with '!' must stand in quotes",
        ),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(read, content, expected):
    [problem] = problems(read, content)
    assert expected in problem


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
        ({"a": {"b.c": 1, "b": {"d": 2}}, "a.b.e": 3}, {"a": {"b": {"c": 1, "d": 2, "e": 3}}}),
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
    with pytest.raises(ConfigError) as caught:
        nest(dotted)
    assert caught.value.problems == ("'adapter' has the value 3 and keys below it; keep one of the two",)


def test_every_conflict_is_told_at_once(read):
    content = "adapter: 3\nadapter.rank: 4\ndata: {max_length.x: 1, max_length: 2}\nadapter.kind: lora\n"
    assert problems(read, content) == [
        "config.yaml:1: 'adapter' has the value 3 and keys below it; keep one of the two",
        "config.yaml:3: 'data.max_length' has the value 2 and keys below it; keep one of the two",
    ]


keys = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers(), lambda below: st.dictionaries(keys, below, min_size=1, max_size=3), max_leaves=8)


@given(tree=st.dictionaries(keys, trees, max_size=3), data=st.data())
def test_any_mix_of_dotted_and_nested_keys_means_the_same(tree, data):
    def flattened(nested, prefix=""):
        for key, value in nested.items():
            if isinstance(value, dict) and data.draw(st.booleans()):
                yield from flattened(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    items = data.draw(st.permutations(list(flattened(tree))))
    assert nest(dict(items)) == tree


@pytest.mark.parametrize("content", ["adapter: {rank: 2}", "adapter.rank: 2", "adapter.rank: 2\nadapter: {rank: 3}"])
def test_an_override_counts_however_the_file_was_written(read, content):
    assert read(content, {"adapter.rank": 4}).adapter.rank == 4
    assert read(content, {"adapter": {"rank": 4}}).adapter.rank == 4


def test_an_override_of_a_group_changes_the_keys_it_names_and_any_other_replaces_the_value(read):
    content = "adapter: {kind: lora, rank: 2}\nhidden_layers: {sst: 1, quora: 2, sts: 0}\ndata.max_train_rows: {sst: 9}"
    assert read(content, {"adapter": {"rank": 4}}).adapter.kind == "lora"
    assert read(content, {"hidden_layers": 3}).hidden_layers == 3
    assert read(content, {"hidden_layers.sst": 5}).hidden_layers == {**HEADS_OF_ALL, "sst": 5}
    assert read(content, {"data.max_train_rows": {"sts": 7}}).data.max_train_rows == {"sts": 7}
    assert read("hidden_layers: 2", {"hidden_layers": HEADS_OF_ALL}).hidden_layers == HEADS_OF_ALL


def test_a_mistake_of_an_override_is_not_blamed_on_the_file(read):
    found = problems(read, "epoch: 3\nhidden_layers: 1", {"adapter.kind": "lroa", "adaptor.rank": 3, "epochs": "x"})
    assert [problem.split(" (experiment, ")[0] for problem in found] == [
        "config.yaml:1: unknown key 'epoch'; did you mean 'epochs'?",
        "--set: adapter.kind has 'lroa'; did you mean 'lora'? (none, lora, dora, vera)",
        "--set: epochs has 'x'; must be a whole number",
        "--set: unknown key 'adaptor'; did you mean 'adapter'?",
    ]
    assert problems(read, "hidden_layers: 1", {"hidden_layers.sst": 2}) == [
        "--set: 'hidden_layers' has the value 1 and keys below it; keep one of the two"
    ]


def test_without_a_file_overrides_stand_on_the_defaults():
    assert load_config(None) == TrialConfig()
    assert load_config(None, {"adapter.rank": 2, "epochs": 1}) == TrialConfig(adapter={"rank": 2}, epochs=1)
    with pytest.raises(ConfigError, match=r"^--set: epochs has 'many'; must be a whole number"):
        load_config(None, {"epochs": "many"})


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
    assert parse_assignment(text) == assignment


@pytest.mark.parametrize("text", ["epochs", "=3", "  =3", ""])
def test_an_assignment_without_a_key_or_a_sign_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_assignment(text)
    assert str(caught.value) == f"--set {text}: expected KEY=VALUE, as epochs=3 or adapter.rank=4"


@pytest.mark.parametrize("value", ["{", "!!nothing 3", "\x00"])
def test_an_assignment_of_something_that_is_not_yaml_is_refused(value):
    with pytest.raises(ConfigError, match=r"^--set epochs=.*: (the '{'|a value that|an invisible)"):
        parse_assignment(f"epochs={value}")


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.integers() | st.lists(st.integers()), min_size=1)
)
def test_dotted_keys_and_nested_dicts_are_two_forms_of_one_thing(flat):
    content = {f"{key}.part.{key}": value for key, value in flat.items()}
    assert dotted(nest(content)) == content
