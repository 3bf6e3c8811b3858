import pytest
import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.models.build import build_model
from mtbert_ray.training.optimizer import learning_rate_factor, make_optimizer, make_schedule


def test_linear_schedule_rises_and_falls_in_straight_lines():
    config = TrialConfig(warmup_fraction=0.2, schedule="linear")
    factors = [learning_rate_factor(step, config, total_steps=10) for step in range(11)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


def test_constant_schedule_stays_after_warm_up():
    config = TrialConfig(warmup_fraction=0.1, schedule="constant")
    assert [learning_rate_factor(step, config, total_steps=20) for step in (0, 1, 2, 19)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )


def test_no_warm_up_starts_at_the_full_rate():
    config = TrialConfig(warmup_fraction=0.0)
    assert learning_rate_factor(0, config, total_steps=4) == 1.0


def test_only_trained_matrices_are_decayed():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    model[2].requires_grad_(False)
    decayed, plain = make_optimizer(model, TrialConfig(weight_decay=0.1)).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)] and decayed["weight_decay"] == 0.1
    assert [tuple(p.shape) for p in plain["params"]] == [(4,), (4,), (4,)] and plain["weight_decay"] == 0.0


def test_the_schedule_drives_the_optimizer():
    config = TrialConfig(learning_rate=0.1, warmup_fraction=0.0)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), config)
    schedule = make_schedule(optimizer, config, total_steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1.0), ("linear", 4.0), ("sqrt", 2.0)])
def test_the_rate_grows_with_the_batch_as_the_rule_says(scaling, factor):
    config = TrialConfig(learning_rate=1e-3, batch_size=64, base_batch_size=16, learning_rate_scaling=scaling)
    assert config.scaled_learning_rate == pytest.approx(1e-3 * factor)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), config)
    make_schedule(optimizer, config.model_copy(update={"warmup_fraction": 0.0}), total_steps=4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3 * factor] * 2)


def adapter_config(library: str, ratio: float) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "encoder": "tiny",
            "learning_rate": 1e-3,
            "adapter": {"kind": "lora", "library": library, "learning_rate_ratio": ratio},
        }
    )


@pytest.mark.parametrize("library", ["peft", "loralib"])
def test_lora_plus_gives_matrix_b_its_own_rate(library):
    config = adapter_config(library, ratio=16.0)
    model = build_model(config)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(model, config).param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(16e-3 if "lora_B" in name else 1e-3), name
    # Query and value of two layers.
    assert list(rates.values()).count(16e-3) == 4


def test_a_ratio_of_one_is_plain_lora():
    config = adapter_config("peft", ratio=1.0)
    assert {group["lr"] for group in make_optimizer(build_model(config), config).param_groups} == {1e-3}
