import math

import pytest
import torch
from transformers import BertConfig, BertModel

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import add_adapter, count_parameters
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.heads import build_head
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.tasks import QUORA, SST, STS

SENTENCES = ["Seven ducks crossed the road.", "Why?", "It never opened on Mondays, they said."]


def adapter_of(kind, **more):
    return AdapterConfig(kind=kind, **more)


@torch.no_grad()
def embed(encoder):
    batch = load_tokenizer("tiny")(SENTENCES, padding=True, return_tensors="pt")
    return encoder(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])


def bert_base():
    with torch.device("meta"):  # shapes without weights
        encoder = Encoder(BertModel(BertConfig()), pooling="pooler")
        heads = {
            task.name: build_head(task, width=768, pair_encoding="joint", num_hidden=1, dropout=0.3)
            for task in (SST, QUORA, STS)
        }
    return encoder, MultitaskModel(encoder, heads)


@pytest.mark.parametrize(
    ("kind", "rank", "paper_percent"),
    [("lora", 8, "0.2644"), ("dora", 8, "0.2808"), ("lora", 2, "0.0662"), ("dora", 2, "0.0828")],
)
def test_shares_are_the_papers(kind, rank, paper_percent):
    encoder, model = bert_base()
    assert count_parameters(encoder).total == 109_482_240
    before = count_parameters(model)
    assert (before.trainable_percent, before.adapter_percent) == (100, 0)
    add_adapter(encoder, adapter_of(kind, rank=rank), seed=0)
    after = count_parameters(model)
    assert f"{after.adapter_percent:.4f}" == paper_percent
    assert after.total == before.total + after.adapter
    assert after.trainable == after.adapter + count_parameters(model.heads).total


@pytest.mark.parametrize("name", ["flora_x", "lora_x", "vera_b"])
def test_a_task_s_name_makes_its_head_no_adapter(name):
    head = build_head(SST.model_copy(update={"name": name}), width=64, pair_encoding="joint", num_hidden=1, dropout=0.3)
    encoder = load_encoder("tiny")
    model = MultitaskModel(encoder, {name: head})
    assert count_parameters(model).adapter == 0
    add_adapter(encoder, adapter_of("lora", rank=2), seed=0)
    assert count_parameters(model).adapter == count_parameters(encoder).trainable > 0


def test_the_random_matrices_of_vera_are_not_counted():
    encoder = load_encoder("tiny")
    before = count_parameters(encoder).total
    add_adapter(encoder, adapter_of("vera", rank=6, target_modules=("query", "intermediate.dense")), seed=0)
    counts = count_parameters(encoder)
    # In each of the two layers: a vector of the rank and one of the width, 32 and 64, for each target.
    assert counts.adapter == counts.trainable == 2 * (6 + 32 + 6 + 64)
    assert counts.total == before + counts.adapter


def test_loralib_counts_as_peft():
    counts = []
    for library in ("peft", "loralib"):
        encoder = load_encoder("tiny")
        add_adapter(encoder, adapter_of("lora", library=library), seed=0)
        counts.append(count_parameters(encoder))
    assert counts[0] == counts[1]


def trained_layer(kind, *, rank, alpha, rslora):
    """One adapted layer of a tiny encoder whose adapter has moved away from its start."""
    encoder = load_encoder("tiny")
    add_adapter(encoder, adapter_of(kind, rank=rank, alpha=alpha, rslora=rslora), seed=0)
    layer = encoder.eval().model.encoder.layer[1].attention.self.query
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_(generator=generator)
        if kind == "dora":
            layer.lora_magnitude_vector["default"].weight.uniform_(0.5, 2, generator=generator)
        layer.base_layer.bias.normal_(generator=generator)
    scale = alpha / (math.sqrt(rank) if rslora else rank)
    update = scale * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    return layer, torch.randn(5, 32, generator=generator), update


@pytest.mark.parametrize(("rank", "alpha", "rslora"), [(4, 16, True), (4, 16, False), (2, 3.5, True)])
def test_lora_formula(rank, alpha, rslora):
    layer, inputs, update = trained_layer("lora", rank=rank, alpha=alpha, rslora=rslora)
    base = layer.base_layer
    expected = inputs @ base.weight.T + base.bias + inputs @ update.T
    torch.testing.assert_close(layer(inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("rank", "rslora"), [(4, True), (2, False)])
def test_dora_formula(rank, rslora):
    layer, inputs, update = trained_layer("dora", rank=rank, alpha=16, rslora=rslora)
    base = layer.base_layer
    direction = base.weight + update
    magnitude = layer.lora_magnitude_vector["default"].weight
    weight = magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(inputs), inputs @ weight.T + base.bias, atol=1e-4, rtol=1e-5)


def test_dora_magnitude_starts_at_the_row_norms():
    encoder = load_encoder("tiny")
    add_adapter(encoder, adapter_of("dora"), seed=0)
    layer = encoder.model.encoder.layer[0].attention.self.value
    torch.testing.assert_close(layer.lora_magnitude_vector["default"].weight, layer.base_layer.weight.norm(dim=1))


def test_every_wrong_target_is_named_with_what_there_is():
    encoder = load_encoder("tiny")
    with pytest.raises(ConfigError) as raised:
        add_adapter(encoder, adapter_of("lora", target_modules=("query", "valeu", "word_embeddings")), seed=0)
    first, second = raised.value.problems
    assert first == (
        "adapter.target_modules: the encoder has no linear layer 'valeu'; it has attention.self.query, "
        "attention.self.key, attention.self.value, attention.output.dense, intermediate.dense, output.dense, "
        "pooler.dense (the end of a name is enough); did you mean 'value'?"
    )
    assert "'word_embeddings'" in second
    assert not any("lora_" in name for name, _ in encoder.named_parameters())
