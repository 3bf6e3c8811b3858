"""Adapters by the default targets on every family: on the right layers, without effect at first, mergeable."""

import logging

import pytest
import torch
from tiny_encoders import FAMILIES, tiny_model

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models import adapter_targets as targets_module
from mtbert_ray.models.adapter_targets import ROLES, resolved_targets, target_layers
from mtbert_ray.models.adapters import add_adapter, count_parameters, merge_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.peft_adapters import to_peft

TEXTS = ["Is the mill open, or is it shut again?", "No"]
KINDS = {
    "lora": AdapterConfig(kind="lora", rank=4),
    "dora": AdapterConfig(kind="dora", rank=4),
    "vera": AdapterConfig(kind="vera", rank=8),
    "pissa": AdapterConfig(kind="lora", rank=4, initialization="pissa"),
    "olora": AdapterConfig(kind="lora", rank=4, initialization="olora"),
    "loralib": AdapterConfig(kind="lora", rank=4, library="loralib"),
}
every_family = pytest.mark.parametrize("family", FAMILIES)
OUTPUTS = {
    "distilbert": "out_lin",
    "mpnet": "attn.o",
    "modernbert": "attn.Wo",
    "albert": "attention.dense",
} | dict.fromkeys(("eurobert", "nomic_bert", "gte", "jina_embeddings_v3"), "self_attn.o_proj")


@torch.no_grad()
def embed(encoder, folder):
    tokens = load_tokenizer(folder)(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=True)
    return encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])


@every_family
@pytest.mark.parametrize("kind", KINDS)
def test_life_of_an_adapter(family, kind, encoder_folder):
    if kind == "loralib":
        pytest.importorskip("loralib")
    folder, adapter = encoder_folder(family), KINDS[kind]
    encoder = load_encoder(folder, pooling="mean")
    before, num_before = embed(encoder, folder), count_parameters(encoder).total
    add_adapter(encoder, adapter, seed=0)
    encoder.eval()
    torch.testing.assert_close(embed(encoder, folder), before, atol=2e-5, rtol=0)

    marks = ("lora_", "vera_lambda_")
    learning = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    layers = {name[: min(name.find(mark) for mark in marks if mark in name) - 1] for name in learning}
    assert len(layers) == FAMILIES[family].num_adapted
    assert all(layer.endswith(FAMILIES[family].query_value) for layer in layers)
    counts = count_parameters(encoder)
    assert counts.trainable == counts.adapter == counts.total - num_before > 0

    generator = torch.Generator().manual_seed(3)
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            step = torch.randn(parameter.shape, generator=generator)
            parameter.data += (2 if kind == "vera" else 0.2) * step
    trained = embed(encoder, folder)
    assert not torch.allclose(trained, before, atol=1e-2)

    base = load_encoder(folder, pooling="mean").model
    by_peft = Encoder(to_peft(encoder, base, adapter, seed=0).get_base_model().eval(), pooling="mean")
    torch.testing.assert_close(embed(by_peft, folder), trained, atol=1e-4, rtol=1e-4)
    merge_adapter(encoder)
    torch.testing.assert_close(embed(encoder, folder), trained, atol=2e-5, rtol=1e-4)
    assert encoder.state_dict().keys() == load_encoder(folder, pooling="mean").state_dict().keys()


@every_family
def test_roles_mean_the_same_projection_everywhere(family):
    model = tiny_model(family)
    names = resolved_targets(model, ("query", "key", "value"))
    if family == "modernbert":
        assert names == ("Wqkv",)
    else:
        assert len(names) == 3
        layers = target_layers(model, names)
        assert len(layers) == 3 * FAMILIES[family].num_adapted // 2
    (output,) = resolved_targets(model, ("output",))
    assert output == OUTPUTS.get(family, "attention.output.dense").removeprefix("self_attn.")
    assert len(target_layers(model, (output,))) == (1 if family == "albert" else 3)


def test_a_fused_layer_is_warned_of_once(caplog):
    targets_module._warn_fused.cache_clear()
    with caplog.at_level(logging.WARNING, logger="mtbert_ray"):
        for _ in range(2):
            resolved_targets(tiny_model("modernbert"), ("query", "value"))
    (warning,) = caplog.messages
    assert "ModernBertModel" in warning and "Wqkv" in warning
    caplog.clear()
    assert resolved_targets(tiny_model("modernbert"), ("Wqkv", "Wo")) == ("Wqkv", "Wo")
    assert caplog.messages == []


def test_exact_names_come_first_and_unknown_ones_are_reported(encoder_folder):
    model = tiny_model("eurobert")
    assert resolved_targets(model, ("q_proj", "self_attn.v_proj")) == ("q_proj", "self_attn.v_proj")
    with pytest.raises(ConfigError) as raised:
        resolved_targets(model, ("query", "valeu", "dense"))
    first, second = raised.value.problems
    assert first.endswith("did you mean 'value'?") and "self_attn.q_proj" in first
    assert "no linear layer 'dense'" in second


def test_an_unknown_encoder_s_layers_are_found_by_the_names_in_use():
    linear = lambda: torch.nn.Linear(4, 4)  # noqa: E731
    for names, expected in (
        (("q_proj", "v_proj", "k_proj"), ("q_proj", "v_proj")),
        (("in_proj", "out"), ("in_proj",)),
        (("query_proj", "value_proj"), ("query_proj", "value_proj")),
    ):
        model = torch.nn.ModuleDict({"attn": torch.nn.ModuleDict({name: linear() for name in names})})
        assert resolved_targets(model, ("query", "value")) == expected
    assert set(ROLES) == {"query", "key", "value", "output"}
