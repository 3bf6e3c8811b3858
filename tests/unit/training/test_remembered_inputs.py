"""Rows that a process keeps for the next trial: only where they are the same."""

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.training.inputs import RememberedInputs, load_inputs

MINE = {
    "name": "mine",
    "kind": "classification",
    "num_classes": 2,
    "source": {"train": "train.csv", "dev": "train.csv", "columns": {"sentence1": "text", "label": "label"}},
}


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
    settings = [
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
    for config in settings:
        given, own = remembered(config, "train"), load_inputs(config, "train")
        assert given.keys() == own.keys()
        for task, split in own.items():
            assert given[task].ids == split.ids
            assert all((a == b).all() for a, b in zip(given[task].widths, split.widths, strict=True))
    assert len(loaded) == len(settings)


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
