"""Rows that a process keeps for the next trial: only where they are the same."""

from pathlib import Path

import numpy as np
import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.training.inputs import RememberedInputs, load_inputs

MINE = {
    "name": "mine",
    "kind": "classification",
    "num_classes": 2,
    "source": {"train": "train.csv", "dev": "train.csv", "columns": {"sentence1": "text", "label": "label"}},
}


NAMED = {**MINE, "num_classes": None, "classes": ["no", "yes"]}


def with_source(task, **changes):
    return {**task, "source": {**task["source"], **changes}}


def config_of(**dotted):
    return TrialConfig.model_validate(nest({"encoder": "tiny", "data.max_train_rows": 8, **dotted}))


def counting():
    loaded = []

    def load(config, split):
        loaded.append(split)
        return load_inputs(config, split)

    return RememberedInputs(load), loaded


def test_what_does_not_touch_the_rows_gets_them_again():
    remembered, loaded = counting()
    first = remembered(config_of(), "train")
    for changed in ({"learning_rate": 1e-3}, {"adapter.kind": "lora"}, {"batch_size": 4, "dropout": 0.1}):
        again = remembered(config_of(**changed), "train")
        assert again.keys() == first.keys() and all(again[task] is first[task] for task in first)
    assert loaded == ["train"]


def test_what_touches_them_has_them_loaded(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("text,label\nA well,1\nA door,0\n")
    monkeypatch.chdir(tmp_path)
    configs = [
        config_of(),
        config_of(seed=1),
        config_of(pair_encoding="separate"),
        config_of(tasks=["sst"]),
        config_of(**{"data.max_train_rows": 9}),
        config_of(**{"data.max_length": 16}),
        config_of(encoder="minilm"),
        config_of(tasks=["sst", MINE]),
    ]
    remembered, loaded = counting()
    for config in configs:
        given, own = remembered(config, "train"), load_inputs(config, "train")
        assert given.keys() == own.keys()
        for task, split in own.items():
            assert given[task].ids == split.ids
            assert all((a == b).all() for a, b in zip(given[task].widths, split.widths, strict=True))
    assert len(loaded) == len(configs)


CUT = with_source(MINE, dev=None, split={"dev": 0.3, "seed": 0})
QUOTED = with_source(MINE, train="quoted.csv", dev="quoted.csv", quoting="minimal")


@pytest.mark.parametrize(
    ("task", "other"),
    [
        (MINE, {**MINE, "template": "of {sentence}"}),
        ({**MINE, "template": "of {sentence}"}, {**MINE, "template": "{sentence}?"}),
        (CUT, with_source(CUT, split={"dev": 0.3, "seed": 1})),
        (CUT, with_source(CUT, split={"dev": 0.5, "seed": 0})),
        (QUOTED, with_source(QUOTED, quoting="none")),
        (NAMED, {**NAMED, "classes": ["yes", "no"]}),
    ],
    ids=["a template", "another template", "split.seed", "split.dev", "quoting", "order of classes"],
)
def test_what_a_task_says_of_its_rows_has_them_loaded_again(tmp_path, monkeypatch, task, other):
    monkeypatch.chdir(tmp_path)
    labels = ["no", "yes"] if "classes" in task else ["0", "1"]
    rows = [f"day {number} {'x' * number},{labels[number % 2]}" for number in range(20)]
    Path("train.csv").write_text("\n".join(["text,label", *rows, ""]))
    quoted = ['"{}",{}'.format(*row.split(",")) for row in rows]
    Path("quoted.csv").write_text("\n".join(["text,label", *quoted, ""]))
    remembered, loaded = counting()
    seen = {}
    for split in ("train", "dev"):
        for name, spec in (("first", task), ("other", other)):
            config = config_of(tasks=[spec], **{"data.max_train_rows": None})
            given, own = remembered(config, split)["mine"], load_inputs(config, split)["mine"]
            seen[split, name] = contents(given)
            assert seen[split, name] == contents(own)
    assert loaded == ["train", "train", "dev", "dev"]
    assert seen["train", "first"] != seen["train", "other"], "the case is of something that touches the rows"


def contents(split):
    """Return what distinguishes rows: their names, tokens and labels."""
    (tokens,) = split.sentences(np.arange(len(split)))
    return split.ids, tokens["input_ids"].tolist(), split.labels.tolist()


def test_splits_are_kept_beside_each_other_and_one_setting_of_each():
    remembered, loaded = counting()
    for config in (config_of(), config_of(), config_of(seed=1), config_of()):
        for split in ("train", "dev"):
            remembered(config, split)
    assert loaded == ["train", "dev"] * 3


def test_a_caller_s_changes_stay_its_own():
    remembered, _ = counting()
    remembered(config_of(), "train").clear()
    assert set(remembered(config_of(), "train")) == {"sst", "quora", "sts"}
