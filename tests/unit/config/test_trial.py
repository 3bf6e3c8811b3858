"""A setting: what a sweep writes of it is read back as it was, and what it says of itself is true."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.metrics import RESERVED_NAMES
from mtbert_ray.task_source import Columns, HubSource, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec

HEADS_OF_ALL = {"sst": 1, "quora": 2, "sts": 0}
OWN = "{name: topic, kind: classification, num_classes: 3, source: {train: a.csv, dev: b.csv, columns: {}}}"


CUT = {"kind": "classification", "source": {"train": "a.csv", "split": {"dev": 0.1}, "columns": {}}}


# What a sweep writes is read back as it was

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100)
separators = st.sampled_from(["\t", "|", ";", " ", "#", "'"])
shares = st.floats(min_value=0, max_value=1, exclude_max=True)
positive = st.floats(min_value=0, exclude_min=True, max_value=1e38)


@st.composite
def own_tasks(draw):
    kind = draw(st.sampled_from(TaskKind))
    first, second, row_id, label = draw(st.lists(texts, min_size=4, max_size=4, unique=True))
    columns = Columns(
        sentence1=first,
        sentence2=second if kind.is_pair else None,
        id=draw(st.sampled_from([None, row_id])),
        label=label,
    )
    if draw(st.booleans()):
        source = TableSource(
            train=draw(texts), dev=draw(texts), columns=columns, separator=draw(st.none() | separators)
        )
    else:
        source = HubSource(dataset=draw(texts), subset=draw(st.none() | texts), columns=columns)
    name = draw(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name not in RESERVED_NAMES))
    low = draw(st.floats(-1e6, 1e6))
    is_regression = kind.is_regression
    return TaskSpec(
        name=name,
        kind=kind,
        num_classes=None if is_regression else draw(st.integers(2, 1000)),
        label_range=(low, low + draw(st.floats(1000, 1e6))) if is_regression else None,
        source=source,
    )


@st.composite
def configs(draw):
    known = draw(st.lists(st.sampled_from(["sst", "quora", "sts"]), unique=True, min_size=1))
    tasks = draw(st.lists(own_tasks(), max_size=2, unique_by=lambda task: task.name))
    names = [*known, *(task.name for task in tasks if task.name not in known)]
    counts = st.integers(0, 6)
    limits = st.none() | st.integers(1, 10**6) | st.dictionaries(st.sampled_from(names), st.integers(1, 99))
    heads_only = draw(st.booleans())
    adapters = {
        "kind": "none" if heads_only else draw(st.sampled_from(["none", "lora", "dora"])),
        "alpha": draw(positive),
        "dropout": draw(shares),
        "target_modules": draw(st.lists(texts, max_size=3)),
        "rslora": draw(st.booleans()),
    }
    data = {"source": "course", "directory": draw(texts), "max_train_rows": draw(limits)}
    return TrialConfig(
        encoder=draw(texts),
        finetune="heads_only" if heads_only else "full",
        adapter=adapters,
        tasks=(*known, *(task for task in tasks if task.name not in known)),
        hidden_layers=draw(counts | st.fixed_dictionaries(dict.fromkeys(names, counts))),
        encoder_dropout=draw(st.none() | shares),
        learning_rate=draw(positive),
        max_grad_norm=draw(st.none() | positive),
        seed=draw(st.integers(0, 2**32 - 1)),
        data=data,
        resources={"gpus_per_worker": draw(st.just("auto") | st.floats(0, 1))},
    )


@settings(max_examples=60)
@example(config=TrialConfig())
@example(config=TrialConfig(encoder="1e5", learning_rate=1e-5, tasks=("sst",), hidden_layers={"sst": 0}))
@example(config=TrialConfig(encoder="null", data={"source": "course", "directory": "yes: no # 0x10"}))
@example(config=TrialConfig(encoder="~nobody/x", data={"source": "course", "directory": "~nobody/y"}))
@given(config=configs())
def test_every_config_that_a_sweep_writes_is_read_back_as_it_was(tmp_path_factory, config):
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    config = config.with_absolute_paths()
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(config.model_dump(mode="json"), file)  # as the sweep does
    assert load_config(path) == config


def test_a_limit_of_rows_is_of_every_task_or_of_those_it_names():
    assert TrialConfig(data={"max_train_rows": 7}).data.max_train_rows_of("sst") == 7
    named = TrialConfig(data={"max_train_rows": {"sst": 7}}).data
    assert (named.max_train_rows_of("sst"), named.max_train_rows_of("quora")) == (7, None)


def test_local_paths_are_absolute_and_other_names_stay(tmp_path, monkeypatch):
    """Trials run in folders of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    (tmp_path / "my-encoder").mkdir()
    columns = Columns(sentence2="other")
    pairs = {"kind": "pair_classification", "num_classes": 2}
    table = TaskSpec(name="a", **pairs, source=TableSource(train="x/../a.csv", dev="~/b.csv", columns=columns))
    hub = TaskSpec(name="b", **pairs, source=HubSource(dataset="nyu-mll/glue", columns=columns))
    config = TrialConfig(encoder="my-encoder", tasks=("sst", table, hub), data={"source": "course", "directory": "."})
    found = config.with_absolute_paths()
    assert (found.encoder, found.data.directory) == (str(tmp_path / "my-encoder"), str(tmp_path))
    assert found.tasks[1].source == TableSource(
        train=str(tmp_path / "a.csv"), dev="/home/somebody/b.csv", columns=columns
    )
    assert (found.tasks[0], found.tasks[2]) == (config.tasks[0], hub)
    assert TrialConfig(encoder="bert-base-uncased").with_absolute_paths().encoder == "bert-base-uncased"
    assert found.with_absolute_paths() == found


def test_a_setting_cannot_be_changed_once_made():
    with pytest.raises(ValidationError, match="frozen"):
        TrialConfig().epochs = math.inf


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"smart": {"tasks": ["sst", "nli"]}}, r"smart.tasks names \['nli', 'sst'\], the tasks are"),
        ({"data": {"train_files": {"para": "x.csv"}}}, r"data.train_files names \['para'\], the tasks are"),
        (
            {"tasks": [{**CUT, "name": "topic"}], "data": {"train_files": {"topic": "x.csv"}}},
            "data.train_files names topic, whose dev rows are cut from the source's training rows",
        ),
        ({"batch_size": 6, "accumulation_steps": 4, "resources": {"num_workers": 2}}, "in 4 accumulation_steps"),
        ({"adapter": {"kind": "dora", "library": "loralib"}}, "'loralib' has LoRA only, got kind 'dora'"),
        ({"adapter": {"kind": "lora", "library": "loralib", "initialization": "pissa"}}, "not 'pissa'; use 'peft'"),
        ({"adapter": {"kind": "vera", "initialization": "olora"}}, "'vera' has"),
        ({"adapter": {"kind": "vera", "learning_rate_ratio": 4}}, "learning_rate_ratio 4 has no use"),
        ({"smart": {"epsilon": 0}}, "greater than 0"),
        ({"smart": {"tasks": ["sst", "sst"]}}, r"smart.tasks \['sst', 'sst'\] names a task twice"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, message):
    with pytest.raises(ValidationError, match=message):
        TrialConfig(**setting)
