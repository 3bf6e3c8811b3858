"""What holds for every adapter, whatever its kind, library and initialization."""

import sys

import pytest
import torch

from mtbert_ray.config import AdapterConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import ADAPTERS, add_adapter, merge_adapter
from mtbert_ray.models.encoder import load_encoder, load_tokenizer
from mtbert_ray.models.peft_adapters import to_peft

SENTENCES = ["Seven ducks crossed the road.", "Why?", "It never opened on Mondays, they said."]
WIDE = ("query", "value", "intermediate.dense", "output.dense")

EVERY = [
    AdapterConfig(kind=kind, rank=4, library=library, initialization=initialization, rslora=rslora, target_modules=WIDE)
    for kind, library, initialization, rslora in [
        ("lora", "peft", "default", True),
        ("lora", "peft", "default", False),
        ("lora", "peft", "gaussian", True),
        ("lora", "peft", "pissa", True),
        ("lora", "peft", "olora", False),
        ("dora", "peft", "default", True),
        ("dora", "peft", "gaussian", False),
        ("dora", "peft", "pissa", False),
        ("dora", "peft", "olora", True),
        ("vera", "peft", "default", True),
        ("lora", "loralib", "default", True),
        ("lora", "loralib", "default", False),
    ]
]
every_adapter = pytest.mark.parametrize(
    "adapter", EVERY, ids=lambda a: f"{a.library}-{a.kind}-{a.initialization}-{'rs' if a.rslora else 'plain'}"
)


def embed(encoder):
    batch = load_tokenizer("tiny")(SENTENCES, padding=True, return_tensors="pt")
    return encoder(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])


def adapted(adapter, seed=0):
    encoder = load_encoder("tiny")
    add_adapter(encoder, adapter, seed=seed)
    return encoder.eval()


def train_at_random(encoder):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                # VeRA's vectors multiply each other.
                alpha = 2 if "vera_" in name else 0.2
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=alpha)


def test_every_registered_adapter_is_tested_here():
    assert {(adapter.library, adapter.kind) for adapter in EVERY} == set(ADAPTERS)


@every_adapter
def test_nothing_changes_before_training(adapter):
    before = embed(load_encoder("tiny"))
    torch.testing.assert_close(embed(adapted(adapter)), before, atol=2e-6, rtol=0)


@every_adapter
def test_only_the_adapter_learns_and_all_of_it(adapter):
    encoder = adapted(adapter)
    mark = "vera_lambda_" if adapter.kind == "vera" else "lora_"
    names = {name.split(f".{mark}")[0] for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert names == {
        f"model.encoder.layer.{layer}.{end}"
        for layer in (0, 1)
        for end in (
            *("attention.self.query", "attention.self.value", "attention.output.dense"),
            *("intermediate.dense", "output.dense"),
        )
    }
    if adapter.kind != "vera":  # what LoRA+ looks for
        assert sum("lora_B" in name for name, _ in encoder.named_parameters()) == 10
    embed(encoder).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == (mark in name) == parameter.requires_grad, name


@every_adapter
def test_merged_is_a_plain_encoder_with_the_same_output(adapter):
    encoder = adapted(adapter)
    train_at_random(encoder)
    before = embed(encoder)
    assert (before - embed(load_encoder("tiny"))).abs().max() > 0.01
    merge_adapter(encoder)
    plain = load_encoder("tiny")
    assert [name for name, _ in encoder.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert list(encoder.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(embed(encoder), before, atol=1e-5, rtol=1e-4)
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(embed(plain), embed(encoder))


@every_adapter
def test_as_peft_on_the_original_weights(adapter):
    encoder = adapted(adapter)
    train_at_random(encoder)
    before = embed(encoder)
    base = load_encoder("tiny")
    to_peft(encoder, base.model, adapter, seed=0)
    torch.testing.assert_close(embed(base.eval()), before, atol=1e-5, rtol=1e-4)


def test_merging_without_an_adapter_changes_nothing():
    encoder = load_encoder("tiny")
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    merge_adapter(encoder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


@every_adapter
def test_the_start_follows_the_seed_and_leaves_the_generator_alone(adapter):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, again, other = (adapted(adapter, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    # PiSSA and OLoRA take the start from the weights.
    same = all(torch.equal(tensor, other[name]) for name, tensor in first.items())
    assert same == (adapter.initialization in ("pissa", "olora"))


@pytest.mark.parametrize("initialization", ["pissa", "olora"])
def test_a_rank_that_the_weights_do_not_have(initialization):
    adapter = AdapterConfig(kind="lora", rank=33, initialization=initialization)
    with pytest.raises(ConfigError) as raised:
        adapted(adapter)
    assert str(raised.value) == (
        f"adapter.rank 33 is more than adapter.initialization '{initialization}' can take from the weights of "
        "encoder.layer.0.attention.self.query, which have rank 32; lower it, or use another initialization"
    )
    adapted(adapter.model_copy(update={"rank": 32}))


class TestLoralib:
    adapter = AdapterConfig(kind="lora", library="loralib", rank=4, dropout=0.0)

    @pytest.mark.parametrize("rslora", [True, False])
    def test_agrees_with_peft_on_the_same_weights(self, rslora):
        changes = {"rank": 4, "alpha": 7.0, "rslora": rslora, "dropout": 0.0}
        ours = adapted(AdapterConfig(kind="lora", library="loralib", **changes)).train()
        theirs = adapted(AdapterConfig(kind="lora", **changes)).train()
        for each in (*ours.modules(), *theirs.modules()):
            if isinstance(each, torch.nn.Dropout):
                each.p = 0.0
        train_at_random(ours)
        tensors = {f"{name}.default.weight": tensor for name, tensor in ours.state_dict().items() if ".lora_" in name}
        theirs.load_state_dict(tensors, strict=False)
        got, expected = embed(ours), embed(theirs)
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)
        got.square().sum().backward()
        expected.square().sum().backward()
        of_peft = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(parameter.grad, of_peft[f"{name}.default.weight"].grad, atol=1e-4, rtol=1e-4)

    def test_eval_leaves_the_weights_as_they_are(self):
        encoder = adapted(self.adapter)
        train_at_random(encoder)
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        for _ in range(3):
            encoder.eval()
            encoder.train()
        encoder.eval()
        assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())

    def test_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "loralib", None)
        with pytest.raises(ConfigError) as raised:
            adapted(self.adapter)
        assert str(raised.value) == (
            "adapter.library 'loralib' is not installed; run: pip install 'mtbert-ray[loralib]', or set "
            "adapter.library to peft"
        )


class TestVera:
    adapter = AdapterConfig(kind="vera", rank=5, target_modules=("query", "intermediate.dense", "output.dense"))

    @pytest.mark.parametrize(("name", "inputs", "outputs"), [("intermediate", 32, 64), ("output", 64, 32)])
    def test_formula(self, name, inputs, outputs):
        """Kopiczko et al. 2023, equation 2: W x + b * (B (d * (A x))), A and B cut to the layer's shape."""
        encoder = adapted(self.adapter)
        train_at_random(encoder)
        layer = getattr(encoder.model.encoder.layer[1], name).dense
        a, b = layer.vera_A["default"], layer.vera_B["default"]
        assert (a.shape, b.shape) == ((5, 64), (64, 5))
        lambda_d, lambda_b = layer.vera_lambda_d["default"], layer.vera_lambda_b["default"]
        x = torch.randn(inputs, generator=torch.Generator().manual_seed(8))
        update = lambda_b * (b[:outputs] @ (lambda_d * (a[:, :inputs] @ x)))
        base = layer.base_layer
        assert update.abs().max() > 0.01
        torch.testing.assert_close(layer(x), base.weight @ x + base.bias + update, atol=1e-5, rtol=1e-5)

    def test_all_layers_share_one_projection(self):
        encoder = adapted(self.adapter)
        shared = {id(tensor) for name, tensor in encoder.named_buffers(remove_duplicate=False) if ".vera_A." in name}
        assert len(shared) == 1
