import pytest

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.config.trial import never_with_effect, without_effect


def config(**keys) -> TrialConfig:
    return TrialConfig.model_validate(nest(keys))


@pytest.mark.parametrize(
    ("setting", "mend"),
    [
        ({"adapter.learning_rate_ratio": 16}, {"adapter.kind": "lora"}),
        ({"adapter.kind": "vera", "adapter.alpha": 4}, {"adapter.kind": "lora"}),
        ({"smart.weight": 2}, {"smart.tasks": ["sst"]}),
        ({"smart.tasks": ["sst"], "smart.steps": 0, "smart.tolerance": 0.1}, {"smart.steps": 2}),
        ({"base_batch_size": 32}, {"learning_rate_scaling": "sqrt"}),
        ({"profile.wait": 1}, {"profile.steps": 2}),
    ],
)
def test_a_changed_setting_without_effect_is_found_until_what_it_needs_is_set(setting, mend):
    last = list(setting)[-1]
    assert list(without_effect(config(**setting))) == [last]
    assert without_effect(config(**{**setting, **mend})) == {}


def test_defaults_are_not_told():
    assert without_effect(TrialConfig()) == {}


def test_a_setting_that_some_trial_uses_has_an_effect():
    plain, lora = config(**{"adapter.rank": 4}), config(**{"adapter.rank": 4, "adapter.kind": "lora"})
    assert list(never_with_effect([plain, plain])) == ["adapter.rank"]
    assert never_with_effect([plain, lora]) == {}
    assert never_with_effect([]) == {}
