"""Linear layers through oneDNN against PyTorch's own."""

import pytest
import torch
from torch import nn

from mtbert_ray.compat import has_onednn_linear
from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.models.cpu import quick_on_cpu
from mtbert_ray.models.encoder import load_tokenizer

pytestmark = pytest.mark.skipif(not has_onednn_linear(), reason="this PyTorch is built without oneDNN")
SENTENCES = ["The well is deep.", "Nobody came, so we left.", "Hm"]


def both_ways(function, parameters):
    """Return what a function gives, and the gradients of its sum of squares, without and with oneDNN."""
    results = []
    for enabled in (False, True):
        with quick_on_cpu(linears=enabled):
            output = function()
        results.append((output, torch.autograd.grad(output.square().sum(), parameters)))
    return results


@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24), (1, 24), (2, 3, 4, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_and_its_gradients(shape, bias):
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 40, bias=bias), torch.randn(shape, requires_grad=True)
    own, quick = both_ways(lambda: layer(x), [x, *layer.parameters()])
    torch.testing.assert_close(quick, own, rtol=1e-5, atol=1e-5)
    with quick_on_cpu(linears=True):
        view = layer(x).grad_fn
    assert "_LinearBackward" in [type(node).__name__ for node, _ in view.next_functions]


def test_an_input_that_is_a_view():
    layer, x = nn.Linear(6, 4), torch.randn(6, 9, requires_grad=True)
    own, quick = both_ways(lambda: layer(x.t()), [x, *layer.parameters()])
    torch.testing.assert_close(quick, own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [None, torch.ones(4)])
def test_arguments_have_pytorch_s_names(bias):
    """Some libraries name them, as loralib the bias."""
    x, weight = torch.randn(3, 6), torch.randn(4, 6)
    with quick_on_cpu(linears=True):
        named = nn.functional.linear(input=x, weight=weight, bias=bias)
    torch.testing.assert_close(named, nn.functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "adapter",
    [{"kind": "none"}, {"kind": "lora"}, {"kind": "lora", "library": "loralib"}, {"kind": "dora"}, {"kind": "vera"}],
)
def test_an_encoder(adapter):
    encoder = build_model(TrialConfig.model_validate({"encoder": "tiny", "adapter": adapter})).encoder
    tokens = load_tokenizer("tiny")(SENTENCES, padding=True, return_tensors="pt")
    names = ("input_ids", "attention_mask", "token_type_ids")
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    own, quick = both_ways(lambda: encoder(*(tokens[name] for name in names)), trained)
    torch.testing.assert_close(quick, own, rtol=1e-4, atol=1e-4)


def test_what_is_not_float32_keeps_its_way():
    layer, x = nn.Linear(8, 8).double(), torch.randn(2, 8, dtype=torch.float64)
    with quick_on_cpu(linears=True):
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        assert type(layer(x).grad_fn).__name__ == "AddmmBackward0"
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(x.float()).dtype is torch.bfloat16


def test_a_frozen_layer_gets_no_gradient_and_passes_one_on():
    layer, x = nn.Linear(8, 3).requires_grad_(False), torch.randn(5, 8, requires_grad=True)
    with quick_on_cpu(linears=True):
        layer(x).sum().backward()
        assert layer(x.detach()).grad_fn is None
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand(5, 8), rtol=1e-5, atol=1e-5)


def test_under_inference_mode():
    layer, x = nn.Linear(8, 3), torch.randn(5, 8)
    with torch.inference_mode(), quick_on_cpu(linears=True):
        quick = layer(x)
    torch.testing.assert_close(quick, layer(x).detach(), rtol=1e-5, atol=1e-5)
