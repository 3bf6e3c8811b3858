"""Dropout, attention and linear layers on the CPU against PyTorch's own: rates, masks, gradients, closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mtbert_ray.compat import has_onednn_linear
from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.models.cpu import attention, dropout, quick_on_cpu
from mtbert_ray.models.encoder import load_tokenizer

needs_onednn = pytest.mark.skipif(not has_onednn_linear(), reason="this PyTorch is built without oneDNN")
SENTENCES = ["The well is deep.", "Nobody came, so we left.", "Hm"]


@pytest.mark.parametrize("p", [0.05, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("size", [(100_000,), (99, 101, 7), (4, 1)])
def test_each_number_is_dropped_at_the_rate_or_scaled(p, size):
    torch.manual_seed(0)
    x = torch.ones(size)
    y = dropout(x, p)
    assert y.shape == x.shape
    kept = y != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)), rtol=1e-4, atol=0)
    spread = math.sqrt(p * (1 - p) / x.numel())
    assert abs(kept.double().mean().item() - (1 - p)) < 5 * spread + 1 / 2**16


def test_the_four_masks_of_one_draw_do_not_know_each_other():
    """Each 64-bit draw is cut into four: every place, and every pair of places, must have the rates of chance."""
    torch.manual_seed(0)
    kept_N4 = (dropout(torch.ones(400_000), 0.3) != 0).double().view(-1, 4)
    assert (kept_N4.mean(dim=0) - 0.7).abs().max() < 0.01
    together_44 = kept_N4.T @ kept_N4 / len(kept_N4)
    assert (together_44 - 0.49)[~torch.eye(4, dtype=torch.bool)].abs().max() < 0.01


def test_the_gradient_is_the_mask():
    x = torch.ones(1000, requires_grad=True)
    y = dropout(x, 0.25)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_seed_decides_the_mask_in_either_type(dtype):
    """SMART's passes share their masks, and under bfloat16 its ascent is in float32."""
    masks = []
    for seed, kind in ((5, torch.float32), (5, dtype), (6, dtype)):
        torch.manual_seed(seed)
        masks.append(dropout(torch.ones(1001, dtype=kind), 0.1) == 0)
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[1], masks[2])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(p):
    assert torch.equal(dropout(torch.ones(9), p), torch.full((9,), 1.0 - p))


def test_without_training_and_with_other_types_it_is_pytorch_s():
    x = torch.ones(64)
    assert dropout(x, 0.5, training=False) is x
    for inplace in (False, True):
        torch.manual_seed(0)
        own = functional.dropout(torch.ones(64, dtype=torch.float64), 0.5, inplace=inplace)
        torch.manual_seed(0)
        assert torch.equal(dropout(torch.ones(64, dtype=torch.float64), 0.5, inplace=inplace), own)


def parts(*shape):
    torch.manual_seed(1)
    return [torch.randn(shape, requires_grad=True) for _ in range(3)]


MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=torch.bool)[:, None, None, :]


def test_arguments_have_pytorch_s_names():
    query, key, value = (x.detach() for x in parts(2, 3, 5, 8))
    with quick_on_cpu():
        torch.manual_seed(0)
        named = functional.scaled_dot_product_attention(
            query=query, key=key, value=value, attn_mask=MASK, dropout_p=0.5
        )
        named_dropout = functional.dropout(input=query, p=0.5)
    torch.manual_seed(0)
    assert torch.equal(named, attention(query, key, value, MASK, 0.5))
    assert torch.equal(named_dropout, dropout(query, 0.5))


def test_attention_is_in_float32_under_autocast_as_pytorch_s():
    """Without dropout to speak of, bfloat16 inputs give what float32 ones of the same numbers give, rounded once."""
    query, key, value = (x.detach().bfloat16() for x in parts(2, 3, 5, 8))
    with torch.autocast("cpu", torch.bfloat16):
        quick = attention(query, key, value, MASK, dropout_p=1 / 2**16)
    exact = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), MASK)
    assert quick.dtype is torch.bfloat16
    torch.testing.assert_close(quick.float(), exact, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_where_next_to_nothing_is_dropped_attention_is_pytorch_s(mask, scale):
    """At one in 65,536 numbers the 240 weights here are all kept; the scale is 1.00002."""
    query, key, value = parts(2, 3, 5, 8)
    own = functional.scaled_dot_product_attention(query, key, value, mask, scale=scale)
    quick = attention(query, key, value, mask, dropout_p=1 / 2**16, scale=scale)
    assert quick.grad_fn.name() != own.grad_fn.name()
    torch.testing.assert_close(quick, own, rtol=1e-4, atol=1e-5)
    by = [torch.autograd.grad(output.square().sum(), (query, key, value)) for output in (quick, own)]
    torch.testing.assert_close(*by, rtol=1e-3, atol=1e-4)


def test_attention_drops_weights_not_values():
    """With keys that are alike and values of one, a query gets the share of the weights that were kept."""
    torch.manual_seed(0)
    attended = attention(torch.zeros(8, 2, 16, 4), torch.zeros(8, 2, 16, 4), torch.ones(8, 2, 16, 4), None, 0.25)
    kept = attended * 0.75 * 16
    assert torch.allclose(kept, kept.round(), atol=1e-3)
    assert len(kept.round().unique()) > 5 and abs(kept.mean().item() / 16 - 0.75) < 0.03


def test_padding_gets_no_weight_under_dropout():
    query, key, value = (x.detach() for x in parts(2, 3, 5, 8))
    torch.manual_seed(0)
    before = attention(query, key, value, MASK, 0.2)
    value[1, :, 2:] = 1e6
    torch.manual_seed(0)
    assert torch.equal(attention(query, key, value, MASK, 0.2), before)


def test_inside_the_context_pytorch_s_functions_are_these():
    x = torch.ones(1001)
    results = []
    for call in (lambda: dropout(x, 0.1), lambda: functional.dropout(x, 0.1), lambda: torch.nn.Dropout(0.1)(x)):
        torch.manual_seed(3)
        with quick_on_cpu():
            results.append(call())
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    torch.manual_seed(3)
    assert not torch.equal(functional.dropout(x, 0.1), results[0])


def both_ways(function, parameters):
    """Return what a function gives, and the gradients of its sum of squares, without and with oneDNN."""
    results = []
    for enabled in (False, True):
        with quick_on_cpu(linears=enabled):
            output = function()
        results.append((output, torch.autograd.grad(output.square().sum(), parameters)))
    return results


@needs_onednn
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


@needs_onednn
def test_an_input_that_is_a_view():
    layer, x = nn.Linear(6, 4), torch.randn(6, 9, requires_grad=True)
    own, quick = both_ways(lambda: layer(x.t()), [x, *layer.parameters()])
    torch.testing.assert_close(quick, own, rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("bias", [None, torch.ones(4)])
def test_a_linear_layer_s_arguments_have_pytorch_s_names(bias):
    """Some libraries name them, as loralib the bias."""
    x, weight = torch.randn(3, 6), torch.randn(4, 6)
    with quick_on_cpu(linears=True):
        named = nn.functional.linear(input=x, weight=weight, bias=bias)
    torch.testing.assert_close(named, nn.functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)


@needs_onednn
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


@needs_onednn
def test_what_is_not_float32_keeps_its_way():
    layer, x = nn.Linear(8, 8).double(), torch.randn(2, 8, dtype=torch.float64)
    with quick_on_cpu(linears=True):
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        assert type(layer(x).grad_fn).__name__ == "AddmmBackward0"
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(x.float()).dtype is torch.bfloat16


@needs_onednn
def test_a_frozen_layer_gets_no_gradient_and_passes_one_on():
    layer, x = nn.Linear(8, 3).requires_grad_(False), torch.randn(5, 8, requires_grad=True)
    with quick_on_cpu(linears=True):
        layer(x).sum().backward()
        assert layer(x.detach()).grad_fn is None
    assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand(5, 8), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_under_inference_mode():
    layer, x = nn.Linear(8, 3), torch.randn(5, 8)
    with torch.inference_mode(), quick_on_cpu(linears=True):
        quick = layer(x)
    torch.testing.assert_close(quick, layer(x).detach(), rtol=1e-5, atol=1e-5)
