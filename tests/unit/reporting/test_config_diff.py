"""The config diff of a trial and the paper's run of its experiment: every key that can change a result is in it."""

import json

import pytest

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.reporting.config_diff import config_diff, published_config, published_experiments
from mtbert_ray.reporting.paper_comparison import hardware_text

V1, SMART, SAMPLE, STAGE = (1, "v1"), (2, "smart-sst-k250"), (4, "sample"), (4, "all-then-heads-on-sample")
LORA, EIGHT = (7, "lora-r8"), (8, "full")
PAPERS_SAMPLE = {
    "method": "zero_shot",
    "model": "facebook/bart-large-mnli",
    "rows": 10_000,
    "topics": {name: {"share": share} for name, share in published_config(*SAMPLE).sample.shares.items()},
}
OWN_SST = {
    "name": "sst",
    "kind": "classification",
    "num_classes": 5,
    "source": {"train": "a.csv", "dev": "b.csv", "columns": {"sentence1": "text", "label": "grade"}},
}

CHANGES = [
    (V1, "encoder", "minilm", "encoder minilm (the paper: bert-base-uncased)"),
    (V1, "encoder", "someone/bert-base-uncased", "encoder someone/bert-base-uncased (the paper: bert-base-uncased)"),
    (V1, "pooling", "mean", "pooling mean (table 1 here: auto, assumed)"),
    (V1, "pair_encoding", "joint", "pair_encoding joint (the paper: separate)"),
    (V1, "hidden_layers", 2, "hidden_layers 2 (the paper: 0)"),
    (V1, "hidden_layers", {"sst": 1, "quora": 0, "sts": 0}, "hidden_layers 0 of quora, 1 of sst and 0 of sts (the pa"),
    (V1, "dropout", 0.1, "dropout 0.1 (the paper: 0.3)"),
    (V1, "encoder_dropout", 0, "encoder_dropout 0 (table 1 here: none, assumed)"),
    ((7, "full"), "finetune", "heads_only", "finetune heads_only (the paper: full)"),
    (V1, "adapter.kind", "lora", "adapter.kind lora (the paper: none)"),
    (LORA, "adapter.kind", "none", "adapter.kind none (the paper: lora)"),
    (LORA, "adapter.library", "loralib", "adapter.library loralib (the paper: peft)"),
    (LORA, "adapter.rank", 4, "adapter.rank 4 (the paper: 8)"),
    (LORA, "adapter.alpha", 8, "adapter.alpha 8 (the paper: 16)"),
    ((8, "lora-r8"), "adapter.alpha", 8, "adapter.alpha 8 (table 8 here: 16, assumed)"),
    (LORA, "adapter.dropout", 0, "adapter.dropout 0 (the paper: 0.05)"),
    (LORA, "adapter.target_modules", ["query"], "adapter.target_modules query (the paper: query and value)"),
    (LORA, "adapter.rslora", False, "adapter.rslora no (the paper: yes)"),
    (LORA, "adapter.initialization", "pissa", "adapter.initialization pissa (table 7 here: default, assumed)"),
    (LORA, "adapter.learning_rate_ratio", 16, "adapter.learning_rate_ratio 16 (table 7 here: 1, assumed)"),
    (V1, "smart.tasks", ["sst", "sts"], "smart.tasks sst and sts (the paper: none)"),
    (SMART, "smart.tasks", [], "smart.tasks none (the paper: sst)"),
    (SMART, "smart.steps", 1, "smart.steps 1 (the paper: 250)"),
    ((3, "v2-smart-sst"), "smart.steps", 5, "smart.steps 5 (table 3 here: 1, assumed)"),
    (SMART, "smart.epsilon", 1e-3, "smart.epsilon 0.001 (the paper: 1e-05)"),
    (SMART, "smart.step_size", 1e-2, "smart.step_size 0.01 (the paper: 0.001)"),
    (SMART, "smart.noise_variance", 1e-2, "smart.noise_variance 0.01 (the paper: 1e-05)"),
    (SMART, "smart.norm", "l2", "smart.norm l2 (table 2 here: inf, assumed)"),
    (SMART, "smart.weight", 5, "smart.weight 5 (table 2 here: 1, assumed)"),
    (SMART, "smart.tolerance", 0.01, "smart.tolerance 0.01 (the paper: none)"),
    (V1, "init_from", "run", "init_from the checkpoint of a first stage (the paper: the encoder's own weights)"),
    (STAGE, "init_from", None, "init_from the encoder's own weights (the paper: the checkpoint of a first stage)"),
    (V1, "tasks", ["sts", "quora", "sst"], "tasks sts, quora and sst (the paper: sst, quora and sts)"),
    (V1, "tasks", [OWN_SST, "quora", "sts"], "tasks sst (of its own kind or files), quora and sts (the paper: "),
    (V1, "data.source", "toy", "the generated toy corpus (the paper: SST, Quora and STS)"),
    (V1, "data.max_train_rows", 1000, "training rows at most 1,000 a task (the paper: all)"),
    (V1, "data.max_train_rows", {"quora": 5000, "sts": 10}, "training rows at most 5,000 of quora and 10 of sts (the"),
    (STAGE, "data.max_train_rows", 9, "training rows at most 9 a task (table 4 here: all, assumed)"),
    (V1, "data.max_dev_rows", 200, "dev rows at most 200 a task (the paper: all)"),
    (V1, "data.max_length", 64, "data.max_length 64 (table 1 here: 128, assumed)"),
    (V1, "data.train_files", {"sts": "own.csv"}, "rows of sts from a file (table 1 here: all of the task, assumed)"),
    (V1, "task_order", "proportional", "task_order proportional (the paper: sequential)"),
    (V1, "batch_size", 32, "batch_size 32 (the paper: 16)"),
    (EIGHT, "batch_size", 128, "batch_size 128 (the paper: 1024)"),
    (V1, "accumulation_steps", 2, "accumulation_steps 2 (table 1 here: 1, assumed)"),
    (V1, "learning_rate", 1e-3, "learning_rate 0.001 (the paper: 1e-05)"),
    (EIGHT, "learning_rate", 1e-5, "learning_rate 1e-05 (the paper: 4e-05)"),
    ((7, "full"), "learning_rate", 1e-5, "learning_rate 1e-05 (the paper: 4e-05)"),
    (LORA, "learning_rate", 1e-5, "learning_rate 1e-05 (table 7 here: 4e-05, assumed)"),
    ((6, "lora-loralib"), "learning_rate", 1e-5, "learning_rate 1e-05 (table 6 here: 2e-05, assumed)"),
    (EIGHT, "learning_rate_scaling", "sqrt", "learning_rate_scaling sqrt (the paper: none)"),
    (V1, "weight_decay", 0, "weight_decay 0 (table 1 here: 0.01, assumed)"),
    (V1, "max_grad_norm", None, "max_grad_norm none (table 1 here: 1, assumed)"),
    (V1, "schedule", "linear", "schedule linear (table 1 here: constant, assumed)"),
    (V1, "warmup_fraction", 0.1, "warmup_fraction 0.1 (table 1 here: 0, assumed)"),
    (EIGHT, "epochs", 1, "epochs 1 (the paper: 20)"),
    ((5, "hl3-lr2e-5-bs32-do0.4-e20"), "epochs", 10, "epochs 10 (the paper: 20)"),
    ((6, "full"), "epochs", 1, "epochs 1 (table 6 here: 10, assumed)"),
    (V1, "precision", "bf16", "precision bf16 (table 1 here: fp32, assumed)"),
    ((8, "dora-r8-bf16"), "precision", "fp32", "precision fp32 (the paper: bf16)"),
    (EIGHT, "resources.num_workers", 1, "resources.num_workers 1 (the paper: 8)"),
    ((3, "v2-smart-sst"), "resources.num_workers", 2, "resources.num_workers 2 (table 3 here: 1, assumed)"),
]
WITHOUT_EFFECT = [
    (V1, "seed", 3),
    (V1, "data.directory", "elsewhere"),
    (V1, "encoder", "google-bert/bert-base-uncased"),
    (V1, "encoder", "/models/bert-base-uncased"),
    (V1, "hidden_layers", {"sst": 0, "quora": 0, "sts": 0}),
    (V1, "resources.gpus_per_worker", 0),
    (V1, "resources.cpus_per_worker", 4),
    (V1, "resources.launcher", "train"),
    (STAGE, "init_from", "another/checkpoint"),
    (V1, "base_batch_size", 64),
    (V1, "adapter.rank", 4),
    (V1, "smart.steps", 9),
    *((V1, f"profile.{key}", value) for key, value in {"steps": 5, "wait": 1, "warmup": 1, "repeat": 2}.items()),
    (V1, "profile.memory", True),
]


def write_sample(folder, **about):
    (folder / "quora.json").write_text(json.dumps({**PAPERS_SAMPLE, **about}))
    return str(folder / "quora.csv")


@pytest.fixture
def diff_of(paper_config, tmp_path):
    """The config diff of a row of the search spaces, with some keys changed by whole values and on a sample."""

    def diff(place, changes=(), sample=None):
        config = paper_config(*place).model_dump(mode="json")
        if config["data"]["train_files"]:
            config["data"]["train_files"] = {"quora": sample or write_sample(tmp_path)}
        for key, value in dict(changes).items():
            *parents, leaf = key.split(".")
            section = config
            for parent in parents:
                section = section[parent]
            section[leaf] = value
        config = TrialConfig.model_validate(config).model_dump(mode="json")
        return config_diff(config, published_config(*place))

    return diff


@pytest.mark.parametrize(
    "place", [(table, name) for table in range(1, 10) for name in published_experiments(table)], ids=str
)
def test_a_row_run_with_the_config_of_its_search_space_has_no_diff(place, diff_of):
    assert diff_of(place) == ()


@pytest.mark.parametrize(("place", "key", "value", "expected"), CHANGES, ids=lambda part: str(part)[:40])
def test_a_changed_key_is_in_the_diff_and_nothing_else(place, key, value, expected, diff_of):
    (text,) = diff_of(place, {key: value})
    assert text.startswith(expected)


@pytest.mark.parametrize(("place", "key", "value"), WITHOUT_EFFECT, ids=str)
def test_what_cannot_change_a_result_is_not_in_the_diff(place, key, value, diff_of):
    assert diff_of(place, {key: value}) == ()


def test_a_base_batch_size_is_in_the_diff_where_a_rate_is_scaled_by_it(diff_of):
    diff = diff_of(EIGHT, {"learning_rate_scaling": "sqrt", "base_batch_size": 128})
    assert diff[1] == "base_batch_size 128 (table 8 here: 16, assumed)"


def test_no_key_of_a_config_is_forgotten_above():
    """A new key must be in the diff, or be known to change nothing."""
    groups = {"experiment", *(key for _, key, *_ in (*CHANGES, *WITHOUT_EFFECT))}
    assert set(dotted(TrialConfig().model_dump())) <= groups


def test_all_differences_are_in_one_diff(diff_of):
    small = {"encoder": "minilm", "epochs": 1, "data.max_train_rows": 1000, "resources.num_workers": 1}
    assert len(diff_of(EIGHT, small)) == len(small)


def test_a_journal_from_before_a_key_ran_with_its_default(paper_config):
    config = paper_config(*V1).model_dump(mode="json")
    for key in ("accumulation_steps", "init_from", "smart", "profile"):
        del config[key]
    assert config_diff(config, published_config(*V1)) == ()
    del config["schedule"]
    assert config_diff(config, published_config(*V1)) == ("schedule linear (table 1 here: constant, assumed)",)


# The sample


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"method": "embeddings"}, ["a sample of quora with method embeddings (the paper: zero_shot)"]),
        ({"rows": 40}, ["a sample of quora with rows 40 (the paper: 10,000)"]),
        ({"model": "small"}, ["a sample of quora with model small (the paper: facebook/bart-large-mnli)"]),
        ({"topics": {"Health": {"share": 1}}}, ["a sample of quora with other topics or shares than the paper's"]),
    ],
)
def test_a_sample_drawn_in_another_way_is_in_the_diff(about, expected, diff_of, tmp_path):
    assert list(diff_of(SAMPLE, sample=write_sample(tmp_path, **about))) == expected


def test_a_sample_that_a_table_does_not_name_is_assumed(diff_of, tmp_path):
    (text,) = diff_of((5, "hl3-lr1e-5-bs16-do0.3-e10"), sample=write_sample(tmp_path, method="embeddings"))
    assert text.endswith("embeddings (table 5 here: zero_shot, assumed)")


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", "[" * 100_000])
def test_a_sample_that_nothing_describes_is_in_the_diff(content, diff_of, tmp_path):
    if content is not None:
        (tmp_path / "mine.json").write_text(content)
    (text,) = diff_of(SAMPLE, sample=str(tmp_path / "mine.csv"))
    assert "mine.json" in text and text.endswith("(the paper: by topic, zero_shot)")


def test_no_sample_at_all_is_in_the_diff(diff_of):
    (text,) = diff_of(SAMPLE, {"data.train_files": {}})
    assert "topic" in text and "the paper: 10,000" in text


# Hardware


def test_the_hardware_is_the_gpus_or_else_the_cpu():
    assert hardware_text({"gpus": "NVIDIA X, NVIDIA X", "processor": "P"}) == "NVIDIA X, NVIDIA X"
    assert hardware_text({"gpus": None, "processor": "P", "cores": 2}) == "no GPU; P, 2 cores"
    assert hardware_text({}) == "no GPU; a CPU of unknown kind"
