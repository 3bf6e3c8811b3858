"""Exports of every encoder family: onnxruntime predicts as the model does, peft and transformers embed as it does."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from peft import PeftModel
from saved import save_shifted_checkpoint
from tiny_encoders import NAMED, save_tiny_encoder
from transformers import AutoModel, AutoTokenizer

import mtbert_ray
from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.training import onnx_export
from mtbert_ray.training.export import export_checkpoint
from mtbert_ray.training.onnx_export import export_onnx

TEXTS = [("so it was", "nobody knows"), ("on and on it went, for days and days", "it ended"), ("", "why")]
TASK = {"name": "same", "kind": "pair_classification", "num_classes": 3}
TASK |= {"source": {"train": "train.csv", "dev": "dev.csv", "columns": {"sentence1": "a", "sentence2": "b"}}}
ADAPTERS = {"lora": {"adapter.rank": 4}, "dora": {"adapter.rank": 4}, "vera": {"adapter.rank": 8}}


@pytest.fixture(scope="module", params=NAMED)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def base(family, tmp_path_factory):
    return save_tiny_encoder(family, tmp_path_factory.mktemp(family) / "base")


def checkpoint_of(folder: Path, base: Path, **hyperparameters) -> Path:
    config = TrialConfig.model_validate(
        nest({"encoder": str(base), "tasks": [TASK], "data.max_length": 64, "pooling": "mean", **hyperparameters})
    )
    return save_shifted_checkpoint(folder, config, {"epoch": 1, "same": 0.25, "dev_score": 0.25})


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_onnxruntime_predicts_as_the_model_does(base, family, pair_encoding, tmp_path, monkeypatch):
    # The quicker exporter; docs/export.md has what was tried with the other one.
    tracing = {"torch.jit.trace": onnx_export.EXPORTERS["torch.jit.trace"]}
    monkeypatch.setattr(onnx_export, "EXPORTERS", tracing)
    checkpoint = checkpoint_of(tmp_path / "checkpoint", base, pair_encoding=pair_encoding, **{"adapter.kind": "lora"})
    out = export_onnx(checkpoint, tmp_path / "out")
    about = json.loads((out / "tasks.json").read_text())["tasks"]["same"]
    tokenizer = AutoTokenizer.from_pretrained(out)
    session = onnxruntime.InferenceSession(out / about["file"])
    model = mtbert_ray.load(checkpoint, device="cpu")
    options = {"padding": True, "truncation": True, "max_length": 64, "return_token_type_ids": True}
    differences = []
    for rows in (TEXTS[:1], TEXTS, [(a * 9, b) for a, b in TEXTS]):
        first, second = map(list, zip(*rows, strict=True))
        if pair_encoding == "joint":
            tokens = dict(tokenizer(first, second, **options, return_tensors="np"))
        else:
            both = [tokenizer(texts, **options, return_tensors="np") for texts in (first, second)]
            tokens = {f"{key}_{n + 1}": value for n, one in enumerate(both) for key, value in one.items()}
        (got,) = session.run(["probabilities"], {each: tokens[each] for each in about["inputs"]})
        expected = model.predict({"same": rows})["same"].filter(regex="^probability_")
        np.testing.assert_allclose(got, expected, atol=1e-4)
        differences.append(np.abs(got - expected.to_numpy()).max())
    print(f"{family}, {pair_encoding}: largest difference {max(differences):.1e}")  # pytest -rP shows it


@torch.no_grad()
def embedded(model, tokenizer) -> torch.Tensor:
    """Return the mean of the last states, as any user of transformers gets it."""
    tokens = tokenizer([text for text, _ in TEXTS], padding=True, return_tensors="pt")
    tokens = {key: value for key, value in tokens.items() if key in ("input_ids", "attention_mask")}
    states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return (states * mask).sum(dim=1) / mask.sum(dim=1)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_loads_on_its_base_and_merged_without(base, family, kind, tmp_path, recwarn):
    checkpoint = checkpoint_of(tmp_path / "checkpoint", base, **{"adapter.kind": kind, **ADAPTERS[kind]})
    trained, _ = mtbert_ray.training.checkpoint.load_checkpoint(checkpoint)
    adapter = export_checkpoint(checkpoint, tmp_path / "adapter")
    merged = export_checkpoint(checkpoint, tmp_path / "merged", merge=True)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    expected = embedded(trained.encoder.model, tokenizer)
    plain = AutoModel.from_pretrained(base).eval()
    assert not torch.allclose(embedded(plain, tokenizer), expected, atol=1e-2), "the adapter was trained"
    on_base = PeftModel.from_pretrained(plain, str(adapter)).eval()
    torch.testing.assert_close(embedded(on_base, tokenizer), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        embedded(AutoModel.from_pretrained(merged).eval(), tokenizer), expected, atol=1e-5, rtol=1e-4
    )
    assert json.loads((merged / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"]
    assert not [each for each in recwarn if "missing adapter keys" in str(each.message)]
    card = (adapter / "README.md").read_text()
    assert str(base) not in card and re.search(r'^base = "base"  # the folder of the encoder', card, flags=re.MULTILINE)
