"""What SMART guarantees apart from its formulas: bounds, masks, types, reproducibility, an early end."""

import math

import pytest
import torch
from smart_cases import EVERY_TASK, batch_of, length_of, model_of, small_config

from mtbert_ray.config import SmartConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.loss import TrainingLoss
from mtbert_ray.training.process import Process
from mtbert_ray.training.smart import ascend, initial_noise


@pytest.mark.parametrize("norm", ["inf", "l2"])
@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_the_noise_never_exceeds_epsilon_and_padding_has_none(norm, steps, pair_encoding):
    # A start far outside the ball, and steps that would leave it.
    smart = SmartConfig(tasks=EVERY_TASK, norm=norm, steps=steps, epsilon=0.01, step_size=0.5, noise_variance=4.0)
    config = small_config(pair_encoding=pair_encoding)
    model = model_of(config)
    for task in EVERY_TASK:
        batch = batch_of(task, config)
        start = initial_noise(smart, model, batch, key="a key")
        plain = model(task, batch.sentences).detach()
        noise = ascend(smart, model, batch, start, plain=plain, dropout_seed=0).noise
        assert (length_of(noise, norm) <= 0.01 * (1 + 1e-12)).all()
        assert (length_of(noise, norm) > 0.009).all()
        for part, tokens in zip(noise, batch.sentences, strict=True):
            assert not part[tokens["attention_mask"] == 0].any()


@pytest.mark.parametrize("hyperparameters", [{}, {"adapter.kind": "lora"}, {"finetune": "heads_only"}])
def test_a_vanishing_noise_leaves_exactly_the_plain_loss(hyperparameters):
    """Shared dropout masks included: other masks alone would set the two outputs apart."""
    dropout = {"dropout": 0.4, "encoder_dropout": 0.2}
    config = small_config(
        **{**hyperparameters, **dropout, "smart.epsilon": 1e-40, "smart.steps": 1, "smart.weight": 5.0}
    )
    model = build_model(config).train()
    for task in EVERY_TASK:
        batch = batch_of(task, config)
        loss = TrainingLoss(model, config.smart, seed=3, rank=0, bf16=False)
        losses = loss(batch, epoch=1)
        assert torch.equal(losses.penalty, torch.zeros(6))
        plain = TrainingLoss(model, SmartConfig(), seed=3, rank=0, bf16=False)
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(3))))
        assert torch.equal(losses.task, plain(batch, epoch=1).task)


@pytest.mark.parametrize("bf16", [False, True])
def test_every_pass_of_a_batch_has_the_same_dropout_masks(bf16):
    """The step's, the ascent's and the perturbed one; the next batch has others."""
    config = small_config(dropout=0.3, encoder_dropout=0.2, **{"smart.steps": 2, "smart.epsilon": 0.1})
    model, batch = build_model(config).train(), batch_of("quora", config)
    masks = []

    def note(module, inputs, output):
        # Where the input is 0, as behind a ReLU, the mask does not show.
        masks[-1].append(torch.where(inputs[0] == 0, math.nan, (output == 0).double()))

    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    hooks.append(model.register_forward_pre_hook(lambda *_: masks.append([])))
    loss = TrainingLoss(model, config.smart, seed=0, rank=0, bf16=bf16)
    loss(batch, epoch=1)
    passes = len(masks)
    loss(batch, epoch=2)
    for hook in hooks:
        hook.remove()

    # The step's pass, two ascents, the perturbed pass; under bfloat16 one more to ascend from.
    assert passes == (5 if bf16 else 4) and len(masks) == 2 * passes
    assert len(masks[0]) > 3 and all((mask == 1).any() for mask in masks[0])
    for other in masks[1:passes]:
        assert not any(differ(mask, again) for mask, again in zip(masks[0], other, strict=True))
    assert all(differ(mask, later) for mask, later in zip(masks[0], masks[passes], strict=True))


def differ(mask, other):
    """Return whether two masks differ where both show."""
    return (((mask - other) != 0) & ~(mask - other).isnan()).any()


def test_the_ascent_leaves_no_gradient_on_the_parameters():
    config = small_config(**{"smart.steps": 3, "smart.epsilon": 0.05})
    model, batch = model_of(config), batch_of("quora", config)
    start = initial_noise(config.smart, model, batch, key="a key")
    plain = model("quora", batch.sentences).detach()
    noise = ascend(config.smart, model, batch, start, plain=plain, dropout_seed=0).noise
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part.requires_grad for part in noise)


def test_the_same_seed_gives_the_same_losses_and_another_epoch_others():
    config = small_config(**{"dropout": 0.3, "smart.epsilon": 0.05})
    model, batch = build_model(config).train(), batch_of("sst", config)

    def penalties(seed, epoch):
        return TrainingLoss(model, config.smart, seed=seed, rank=0, bf16=False)(batch, epoch).penalty

    assert torch.equal(penalties(1, 1), penalties(1, 1))
    assert not torch.isclose(penalties(1, 1), penalties(1, 2)).all()
    assert not torch.isclose(penalties(1, 1), penalties(2, 1)).all()


@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
def test_under_bfloat16_the_ascent_stays_in_float32(pair_encoding):
    config = small_config(pair_encoding=pair_encoding, **{"smart.steps": 2, "smart.epsilon": 0.05})
    model, batch = build_model(config).train(), batch_of("quora", config)
    seen = []
    layer = model.encoder.model.encoder.layer[0].attention.self.query
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    narrow = TrainingLoss(model, config.smart, seed=0, rank=0, bf16=True)(batch, epoch=1)
    hook.remove()
    bf16, fp32 = torch.bfloat16, torch.float32
    # The step's pass, the same in float32 to ascend from, two steps, the perturbed pass; a pair's two sentences in one.
    assert seen == [bf16, fp32, fp32, fp32, bf16]
    assert narrow.penalty.dtype is fp32
    wide = TrainingLoss(model, config.smart, seed=0, rank=0, bf16=False)(batch, epoch=1)
    torch.testing.assert_close(narrow.penalty, wide.penalty, rtol=0.3, atol=1e-4)


def test_the_ascent_of_a_row_ends_when_it_climbs_no_more():
    smart = SmartConfig(tasks=("sst",), steps=200, epsilon=1e-3, step_size=3e-4, tolerance=1e-3)
    config = small_config()
    model, batch = model_of(config), batch_of("sst", config)
    plain = model("sst", batch.sentences).detach()

    def climb(smart, batch=batch, plain=plain):
        start = initial_noise(smart, model, batch, key="a key")
        ascent = ascend(smart, model, batch, start, plain=plain, dropout_seed=0)
        return ascent, model.divergence("sst", model("sst", batch.sentences, ascent.noise), plain)

    ended, reached_B = climb(smart)
    assert 3 < ended.steps < 100
    _, endless_B = climb(smart.model_copy(update={"tolerance": None}))
    _, one_step_B = climb(smart.model_copy(update={"tolerance": None, "steps": 1}))
    assert (reached_B > 0.9 * endless_B).all() and (one_step_B < 0.9 * endless_B).any()

    # Rows that have ended wait for the others without moving: alone, a row comes to the same noise.
    for place, part in enumerate(batch.split(6)):
        (alone,), (together,) = climb(smart, part, plain[place : place + 1])[0].noise, ended.noise
        torch.testing.assert_close(alone[0], together[place, : alone.shape[1]], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        {},
        {"pair_encoding": "separate", "hidden_layers": 0},
        {"adapter.kind": "lora"},
        {"adapter.kind": "dora", "pair_encoding": "separate"},
        {"finetune": "heads_only"},
        {"precision": "bf16"},
    ],
)
def test_a_run_reports_the_penalty_and_the_steps(hyperparameters):
    smart = {"smart.tasks": ["sst", "sts"], "smart.steps": 2, "smart.epsilon": 0.1, "smart.step_size": 0.1}
    config = small_config(**{**hyperparameters, **smart, "epochs": 1, "learning_rate": 1e-3})
    (epoch,) = TrainingRun(config, process=Process()).epochs()
    assert epoch.metrics()["smart_steps"] == 2
    assert epoch.metrics()["smart_penalty"] > 0


def test_the_penalty_grows_with_epsilon_and_with_the_ascent():
    def penalty(**smart):
        config = small_config(**{f"smart.{key}": value for key, value in smart.items()})
        model, batch = model_of(config), batch_of("sst", config)
        return float(
            TrainingLoss(model, config.smart, seed=0, rank=0, bf16=False)(batch, epoch=1).penalty.detach().sum()
        )

    random = penalty(steps=0, epsilon=0.01)
    assert penalty(steps=0, epsilon=0.1, noise_variance=1.0) > 10 * random
    assert penalty(steps=1, epsilon=0.01, step_size=0.01) > 10 * random
    assert penalty(steps=3, epsilon=0.01, step_size=0.01) >= penalty(steps=1, epsilon=0.01, step_size=0.01)
