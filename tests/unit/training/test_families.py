"""Every family trains, scores, is kept, comes back the same, starts another run, and is exported."""

import math

import pytest
import torch
from tiny_encoders import FAMILIES, MAX_TOKENS, NAMED
from transformers import AutoModel, AutoTokenizer

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.data.sources import load_examples
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.training.checkpoint import initial_model, load_checkpoint
from mtbert_ray.training.evaluate import evaluate, predict
from mtbert_ray.training.export import export_checkpoint
from mtbert_ray.training.inputs import encode
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import Process

WAYS = {
    "full": {"finetune": "full"},
    "heads only": {"finetune": "heads_only"},
    "lora": {"adapter.kind": "lora", "adapter.rank": 2},
}


def config_of(folder, **dotted):
    defaults = {
        "encoder": folder,
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "tasks": ["sst", "quora", "sts"],
        "data.source": "toy",
        "data.max_train_rows": 8,
        "data.max_dev_rows": 6,
        "data.max_length": 48,
    }
    return TrialConfig.model_validate(nest({**defaults, **dotted}))


@pytest.fixture(scope="module")
def load():
    """Return a config's rows; the toy corpus, which takes longest, is made once."""
    config = config_of("tiny")
    rows = {
        (task.name, split): load_examples(task, config.data, split, seed=config.seed)
        for task in config.tasks
        for split in ("train", "dev")
    }

    def encoded(config, split):
        tokenizer = load_tokenizer(config.encoder)
        return {task.name: encode(rows[task.name, split], config, tokenizer, task=task) for task in config.tasks}

    return encoded


PAIR_ENCODINGS = ("separate", "joint")
RUNS = [
    (family, PAIR_ENCODINGS[(number + place) % 2], way)
    for number, family in enumerate(NAMED)
    for place, way in enumerate(WAYS)
] + [(family, "separate", "lora") for family in FAMILIES if family not in NAMED]
"""Every two of family, pair encoding and way meet. The near relatives of the named families run one way."""


@pytest.mark.parametrize(("family", "pair_encoding", "way"), RUNS)
def test_a_run_and_what_it_leaves(family, pair_encoding, way, encoder_folder, load, tmp_path):
    config = config_of(encoder_folder(family), pair_encoding=pair_encoding, **WAYS[way])
    run = TrainingRun(config, process=Process(), folder=tmp_path, load=load)
    (epoch,) = run.epochs()
    assert math.isfinite(epoch.losses.all)

    model, loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded == config
    splits = load(config, "dev")
    assert evaluate(model, config.tasks, splits, Process(), bf16=False).scores.values == pytest.approx(
        epoch.scores, abs=1e-6
    )
    for task in config.tasks:
        before, after = (predict(m, task, splits[task.name], Process(), bf16=False) for m in (run.model, model))
        assert before.values == pytest.approx(after.values, abs=1e-6)

    out = export_checkpoint(tmp_path / "checkpoint", tmp_path / "out", merge=way == "lora")
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(out)(["Is the mill open?"], return_tensors="pt")
        exported = AutoModel.from_pretrained(out).eval()(**tokens).last_hidden_state
        if way == "lora":  # Its layers have become plain ones.
            original = AutoModel.from_pretrained(encoder_folder(family)).eval()(**tokens).last_hidden_state
            assert not torch.equal(exported, original)
        tokens.setdefault("token_type_ids", torch.zeros_like(tokens["input_ids"]))
        ours = model.encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])
        for pooling, pooled in (("cls", exported[:, 0]), ("mean", exported.mean(dim=1))):
            if model.encoder.pooling == pooling:
                torch.testing.assert_close(ours, pooled, atol=1e-5, rtol=1e-5)

    if way == "full":
        start = {"init_from": str(tmp_path / "checkpoint"), "pair_encoding": pair_encoding}
        later = initial_model(config_of(encoder_folder(family), **start))
        for name, tensor in later.encoder.state_dict().items():
            assert torch.equal(tensor, model.encoder.state_dict()[name]), name


@pytest.mark.parametrize("family", ["albert", "electra", "modernbert", "nomic_bert", "deberta-v2"])
def test_smart_runs(family, encoder_folder, load):
    smart = {"smart.tasks": ["quora"], "smart.steps": 1, "smart.epsilon": 0.1, "smart.step_size": 0.05}
    run = TrainingRun(
        config_of(encoder_folder(family), pair_encoding="separate", **smart), process=Process(), load=load
    )
    (epoch,) = run.epochs()
    assert math.isfinite(epoch.losses.all)
    # A correlation of what so short a run predicts may be undefined.
    assert epoch.dev_score is None or math.isfinite(epoch.dev_score)


@pytest.mark.parametrize("family", ["roberta", "eurobert", "modernbert", "roformer"])
def test_a_sequence_longer_than_the_encoder_was_made_for_is_refused(family, encoder_folder):
    with pytest.raises(ConfigError, match=f"data.max_length 129 is longer than the {MAX_TOKENS} tokens"):
        build_model(config_of(encoder_folder(family), **{"data.max_length": MAX_TOKENS + 1}))
    build_model(config_of(encoder_folder(family), **{"data.max_length": MAX_TOKENS}))
