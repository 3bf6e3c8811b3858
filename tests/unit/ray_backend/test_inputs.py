"""Everything that trials will read is tried before one starts."""

from pathlib import Path

import pytest
from saved import save_checkpoint

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError, ConfigError, DataError, EncoderError
from mtbert_ray.models.build import build_model
from mtbert_ray.ray_backend.preflight import check_inputs, with_classes_found
from mtbert_ray.study.space import SearchSpace

SMALL = {"encoder": "tiny", "data.max_train_rows": 40, "data.max_dev_rows": 30}


def space_of(**keys) -> SearchSpace:
    defaults = {
        "name": "tiny",
        "objectives": {"dev_score": {"direction": "maximize", "reference": 0.4}},
        "fixed": SMALL,
        "algorithm": "grid",
    }
    return SearchSpace.model_validate({**defaults, **keys})


def experiments_of(**experiments: dict) -> dict:
    """Return the keys of a space that has them."""
    choice = {"kind": "choice", "values": list(experiments)}
    return {"experiments": experiments, "search": {"experiment": choice}}


def test_the_rows_of_every_task_are_counted():
    assert check_inputs(space_of()) == {
        None: {"train": {"sst": 40, "quora": 40, "sts": 40}, "dev": {"sst": 30, "quora": 30, "sts": 30}}
    }


def test_the_rows_of_every_experiment_are_counted():
    rows = check_inputs(
        space_of(**experiments_of(all={}, few={"data.max_train_rows": {"sst": 7}}, other={"epochs": 1}))
    )
    assert list(rows) == ["all", "few", "other"]
    assert rows["few"]["train"]["sst"] == 7
    assert rows["few"]["train"]["quora"] > 40
    assert rows["all"] == rows["other"] == check_inputs(space_of())[None]


def test_an_encoder_that_only_some_trials_would_ask_for_is_looked_for_now(tmp_path: Path):
    missing = str(tmp_path / "no-encoder")
    with pytest.raises(EncoderError, match="no-encoder"):
        check_inputs(space_of(search={"encoder": {"kind": "choice", "values": ["tiny", missing]}}, fixed={}))


def test_an_adapter_that_only_some_trials_would_have_is_tried_now():
    search = {
        "adapter.kind": {"kind": "choice", "values": ["none", "lora"]},
        "adapter.target_modules": {"kind": "choice", "values": [["query"], ["qeury"]]},
    }
    with pytest.raises(ConfigError, match="qeury"):
        check_inputs(space_of(search=search))


def test_data_that_are_not_there_are_missed_now(tmp_path: Path):
    course = {"data.source": "course", "data.directory": str(tmp_path)}
    with pytest.raises(DataError, match=r"ids-sst-train\.csv: no such file"):
        check_inputs(space_of(fixed={"encoder": "tiny", **course}))
    with pytest.raises(DataError, match=r"ids-sst-train\.csv: no such file"):
        check_inputs(space_of(**experiments_of(toy={}, course=course)))


LONG = ({"data.max_length": 4096}, "data.max_length 4096 is longer than the 512 tokens", ConfigError)
RATE = ({"encoder_dropout": 0.2}, "has no dropout rate to set", EncoderError)


@pytest.mark.parametrize(("wrong", "expected", "error"), [LONG, RATE])
@pytest.mark.parametrize("order", [("right", "wrong"), ("wrong", "right")])
def test_what_an_encoder_cannot_have_is_found_in_whichever_experiment_it_stands(
    monkeypatch, wrong, expected, error, order
):
    if error is EncoderError:
        # An encoder without dropout: of those that read text alone, transformers 5 has none.
        monkeypatch.setattr("mtbert_ray.models.architecture._DROPOUT_KEYS", ())
    experiments = {"right": {}, "wrong": wrong}
    with pytest.raises(error, match=expected):
        check_inputs(space_of(**experiments_of(**{name: experiments[name] for name in order})))


def test_every_file_of_training_rows_that_is_not_there_is_missed_with_the_checkpoints(tmp_path: Path):
    sample = {"data.train_files": {"quora": str(tmp_path / "sample.csv")}}
    both = {**sample, "init_from": str(tmp_path / "gone")}
    with pytest.raises(ConfigError) as caught:
        check_inputs(space_of(**experiments_of(toy={}, sample=sample, both=both)))
    start, file = caught.value.problems
    assert start.startswith(f"init_from of experiment both: {tmp_path}/gone: no such folder; ")
    assert file == (
        f"data.train_files.quora: {tmp_path}/sample.csv: no such file; a topic-balanced sample is drawn with `python "
        "-m mtbert_ray.sample TOPICS.yaml --out FILE`"
    )


def test_every_checkpoint_that_is_not_there_is_missed_at_once(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    starts = {name: {"init_from": str(tmp_path / name)} for name in ("gone", "empty")}
    with pytest.raises(ConfigError) as caught:
        check_inputs(space_of(**experiments_of(fresh={}, **starts)))
    how = (
        "make one with `python -m mtbert_ray.train --config CONFIG.yaml --out DIR`, which leaves it in DIR/checkpoint, "
        "or name that of a sweep's trial, SWEEP/trials/ID/checkpoint"
    )
    assert caught.value.problems == (
        f"init_from of experiment empty: {tmp_path}/empty: not a checkpoint (no config.json); {how}",
        f"init_from of experiment gone: {tmp_path}/gone: no such folder; {how}",
    )
    with pytest.raises(ConfigError, match=r"^init_from: .*no such folder"):
        check_inputs(space_of(fixed={**SMALL, "init_from": str(tmp_path / "gone")}))


def test_a_checkpoint_is_tried_with_the_heads_of_every_trial_that_starts_from_it(tmp_path: Path):
    config = TrialConfig.model_validate({"encoder": "tiny", "hidden_layers": 1})
    save_checkpoint(tmp_path / "first", build_model(config), config, {})
    start = {"init_from": str(tmp_path / "first")}
    assert list(check_inputs(space_of(**experiments_of(same=start)))) == ["same"]
    with pytest.raises(ConfigError, match=r"its head for task 'sst' does not fit"):
        check_inputs(space_of(**experiments_of(same=start, deeper={**start, "hidden_layers": 2})))
    (tmp_path / "first" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"^init_from: .*cannot be read"):
        check_inputs(space_of(**experiments_of(same=start)))


# Classes and rows, found and said


def topic_space(folder, train="", **source) -> SearchSpace:
    """A space of one task that leaves its classes to its training rows."""
    rows = "".join(f"text {number},{'outage' if number % 3 else 'billing'}\n" for number in range(120))
    (folder / "topics.csv").write_text("text,label\n" + rows + train)
    source = {"train": str(folder / "topics.csv"), "columns": {"sentence1": "text", "label": "label"}, **source}
    topic = {"name": "topic", "kind": "classification", "source": source}
    return space_of(fixed={"encoder": "tiny", "epochs": 1, "tasks": ["sst", topic]})


def test_a_sweep_finds_the_classes_once_for_all_its_trials(tmp_path):
    space, found = with_classes_found(topic_space(tmp_path, split={"dev": 0.1}))
    assert found == ("topic: 2 classes from topics.csv: billing, outage",)
    assert space.fixed["tasks"][0] == "sst", "as in the YAML"
    assert space.fixed["tasks"][1]["classes"] == ["billing", "outage"]
    assert [config.tasks[1].classes for config in space.example_configs()] == [("billing", "outage")] * len(
        space.example_configs()
    )
    assert with_classes_found(space) == (space, ())


def test_rows_left_out_and_dev_rows_cut_are_said_once(tmp_path):
    space, _ = with_classes_found(topic_space(tmp_path, train="no label\n\n", split={"dev": 0.1, "seed": 4}))
    said: list[str] = []
    assert check_inputs(space, announce=said.append)[None]["dev"]["topic"] == 12
    assert said == [
        "topic train: 120 of 121 rows; 1 left out (no label: row 121); 1 blank line skipped; 12 are dev rows",
        "topic dev: 12 of 120 training rows, drawn with seed 4",
    ]
