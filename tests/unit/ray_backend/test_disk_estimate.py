"""The room that a sweep will take, against what its models' checkpoints really are."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from study_sessions import finish, new_study, space_of

from mtbert_ray import disk
from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.ray_backend import disk_estimate as module
from mtbert_ray.ray_backend.disk_estimate import disk_estimate, in_words, prediction_bytes, trial_bytes
from mtbert_ray.ray_backend.inventory import local_capacity
from mtbert_ray.ray_backend.plan import make_plan
from mtbert_ray.study.request import SweepRequest, new_request, resume_request
from mtbert_ray.training.checkpoint import WEIGHTS_NAME, initial_model, kept_weights, write_checkpoint

CONFIGS = [
    {},
    {"finetune": "heads_only"},
    {"adapter.kind": "lora", "adapter.rank": 2},
    {"adapter.kind": "lora", "adapter.rank": 4},
    {"adapter.kind": "lora", "adapter.rank": 16},
    {"adapter.kind": "dora", "adapter.rank": 5, "adapter.target_modules": ["query", "key", "value"]},
    {"adapter.kind": "dora", "adapter.rank": 3, "adapter.target_modules": ["query", "key", "value"]},
    {"adapter.kind": "dora", "adapter.rank": 4, "adapter.target_modules": ["query", "key", "value"]},
    {"adapter.kind": "vera", "adapter.rank": 8},
    {"adapter.kind": "vera", "adapter.rank": 16},
    {"adapter.kind": "vera", "adapter.rank": 32},
    {"adapter.kind": "lora", "adapter.initialization": "pissa", "adapter.rank": 3},
    {"hidden_layers": 2},
    {"pair_encoding": "joint"},
    {"pooling": "pooler"},
]


def config_of(keys: dict) -> TrialConfig:
    nested: dict = {"encoder": "tiny"}
    for key, value in keys.items():
        above, _, last = key.rpartition(".")
        (nested.setdefault(above, {}) if above else nested)[last] = value
    return TrialConfig.model_validate(nested)


def test_the_bytes_are_those_of_the_checkpoints_that_are_written(tmp_path):
    configs = [config_of(keys) for keys in CONFIGS]
    for number, (config, estimated) in enumerate(zip(configs, trial_bytes(configs), strict=True)):
        write_checkpoint(tmp_path / str(number), kept_weights(initial_model(config), config), config, {})
        size = (tmp_path / str(number) / WEIGHTS_NAME).stat().st_size
        header = size - int(estimated.checkpoint)
        assert 0 < header < 12_000, (CONFIGS[number], header)


def test_after_init_from_the_frozen_weights_count_too():
    config = config_of({"adapter.kind": "lora"})
    [plain] = trial_bytes([config])
    [from_checkpoint] = trial_bytes([config.model_copy(update={"init_from": "anywhere"})])
    [full] = trial_bytes([config_of({})])
    assert from_checkpoint.checkpoint > full.checkpoint > 5 * plain.checkpoint
    assert from_checkpoint.state == plain.state < full.state


def test_of_ranks_only_the_ends_are_built(monkeypatch):
    ranks = []

    def build(config):
        ranks.append(config.adapter.rank)
        return build_model(config)

    monkeypatch.setattr(module, "build_model", build)
    configs = [
        config_of({"adapter.kind": "lora", "adapter.rank": rank, "dropout": rank / 100}) for rank in range(2, 40)
    ]
    sizes = [size.checkpoint for size in trial_bytes(configs)]
    assert sorted(ranks) == [2, 39]
    assert len({round(after - before) for before, after in pairwise(sizes)}) == 1


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 KiB"), (2048, "2 KiB"), (1.5 * 2**20, "1.5 MiB"), (999 * 2**20, "999 MiB"), (2**40, "1,024 GiB")],
)
def test_bytes_are_in_the_unit_that_reads_best(size, text):
    assert in_words(size) == text


SPACE = """\
name: s
objectives: {dev_score: {direction: maximize, reference: 0.0}}
fixed: {encoder: tiny, tasks: [sst], epochs: 1}
search: {learning_rate: {loguniform: [1e-5, 1e-2]}}
algorithm: random
scheduler: fifo
resources: {concurrent_trials: 1}
"""


def line_of(folder: Path, **changes: object) -> str:
    path = folder / "space.yaml"
    path.write_text(SPACE + "".join(f"{key}: {value}\n" for key, value in changes.items()))
    return estimate(new_request(path, out=folder / "not" / "there" / "yet"))


def estimate(request: SweepRequest) -> str:
    plan = make_plan(request.space, local_capacity(), own_cluster=True)
    return disk_estimate(request, plan, {None: {"dev": dict.fromkeys(("sst", "quora", "sts"), 2048)}})


def masked(line: str) -> str:
    """A line without its sizes and the folder of the test."""
    return re.sub(r"/\S+/(?=not/there)", "", re.sub(r"[\d.,]+ [KMG]iB", "N MiB", line))


def kib(line: str) -> float:
    """The first size in a line, which is that of the checkpoints."""
    number, unit = re.search(r"([\d.]+) (KiB|MiB|GiB)", line).groups()
    return float(number) * {"KiB": 1, "MiB": 2**10, "GiB": 2**20}[unit]


def test_a_line_has_the_checkpoints_the_running_trials_and_what_is_free(tmp_path, message_snapshot):
    lines = {
        "disk of ten trials": line_of(tmp_path, trials=10),
        "disk of the front": line_of(tmp_path, trials=10, keep_checkpoints="front"),
        "disk of the best": line_of(tmp_path, trials=10, keep_checkpoints="best"),
        "disk under a time budget": line_of(tmp_path, time_budget_minutes=5),
    }
    for name, line in lines.items():
        message_snapshot(name, masked(line))
    one = kib(lines["disk under a time budget"])
    assert kib(lines["disk of ten trials"]) == pytest.approx(10 * one, rel=0.01)
    assert kib(lines["disk of the front"]) == pytest.approx(10 * one, rel=0.01)
    assert kib(lines["disk of the best"]) == pytest.approx(2 * one, rel=0.01), "the best and the one that runs"


def test_the_dev_predictions_of_all_trials_count_whatever_checkpoints_stay(tmp_path):
    """2,048 rows of one task, a byte each for the class and the label."""
    for keep in ("all", "front", "best"):
        assert ", up to 40 KiB for dev predictions," in line_of(tmp_path, trials=10, keep_checkpoints=keep)
    assert ", up to 4 KiB for the dev predictions of each," in line_of(tmp_path, time_budget_minutes=5)
    ranked = [{"name": "quora", "kind": "pair_classification", "num_classes": 2, "metrics": ["accuracy", "auroc"]}]
    config = config_of({"tasks": [*ranked, "sts"]})
    assert prediction_bytes(config, {"quora": 10, "sts": 3}) == 10 * (2 + 2 * 4) + 3 * 8


def test_what_will_not_fit_is_said(tmp_path, monkeypatch, message_snapshot):
    enough = line_of(tmp_path, trials=10)
    needed = 2**10 * kib(enough)
    asked = []

    def usage(path):
        asked.append(path)
        return Free(0.97 * needed)

    monkeypatch.setattr(disk.shutil, "disk_usage", usage)
    for keep in ("all", "front"):
        message_snapshot(f"disk too small for {keep}", masked(line_of(tmp_path, trials=10, keep_checkpoints=keep)))
    assert set(asked) == {tmp_path}, "the nearest folder that is there"
    fits = line_of(tmp_path, trials=10, keep_checkpoints="best")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: Free(needed / 100))
    message_snapshot("disk too small for best", masked(line_of(tmp_path, trials=10, keep_checkpoints="best")))
    assert fits.count(";") == enough.count(";") == 1, "no more is said where it fits"


class Free:
    def __init__(self, free: float) -> None:
        self.free = free


def test_of_a_sweep_that_is_resumed_only_the_rest_counts(tmp_path):
    space = space_of(tmp_path, "random", scheduler="fifo")
    folder = tmp_path / "sweep"
    study = new_study(space, folder)
    all_of_them = estimate(resume_request(folder))
    for _ in range(6):
        finish(study, study.ask().trial_id)
    rest = estimate(resume_request(folder))
    assert "12 trials" in all_of_them and "6 trials" in rest
    assert kib(rest) == pytest.approx(kib(all_of_them) / 2, rel=0.01)
