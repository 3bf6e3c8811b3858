"""Private APIs of other libraries: each test fails when a release changes or removes one."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import BertConfig

from mtbert_ray import compat
from mtbert_ray.models.tiny import build_tiny, tiny_config


def test_it_loads_without_torch_and_ray():
    check = "import sys, mtbert_ray.compat; sys.exit(bool({'torch', 'transformers', 'ray'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_avx512_is_what_the_processor_has():
    assert isinstance(compat.cpu_has_avx512(), bool)


@pytest.mark.skipif(not compat.has_onednn_linear(), reason="this PyTorch is built without oneDNN")
@pytest.mark.parametrize("has_bias", [True, False])
def test_onednn_computes_a_linear_layer(has_bias):
    x, layer = torch.randn(5, 7), nn.Linear(7, 3, bias=has_bias)
    torch.testing.assert_close(compat.onednn_linear(x, layer.weight, layer.bias), layer(x), rtol=1e-5, atol=1e-5)


def test_the_attention_of_a_model_can_be_chosen():
    model = build_tiny(tiny_config(), add_pooling_layer=False)
    assert compat.attention_implementation(model.config) == "sdpa"
    ids = torch.tensor([[2, 7, 3]])
    expected = model(input_ids=ids).last_hidden_state
    compat.set_attention_implementation(model.config, "eager")
    assert compat.attention_implementation(model.config) == "eager"
    torch.testing.assert_close(model(input_ids=ids).last_hidden_state, expected)
    compat.set_attention_implementation(model.config, "unheard_of")
    with pytest.raises(KeyError):  # the model's layers read it in every pass
        model(input_ids=ids)


def test_encoders_are_among_the_masked_language_models_and_decoders_are_not():
    types = compat.masked_language_model_types()
    assert {"bert", "roberta", "deberta-v2", "modernbert"} <= types
    assert not {"gpt2", "llama"} & types


def test_the_hub_s_cache_remembers_what_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--somebody--encoder"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / ".no_exist" / ("0" * 40)).mkdir(parents=True)
    (folder / ".no_exist" / ("0" * 40) / "absent.json").touch()
    assert compat.is_known_to_be_absent("somebody/encoder", "absent.json")
    assert not compat.is_known_to_be_absent("somebody/encoder", "never_looked_for.json")


def test_peft_leaves_a_configuration_that_can_be_removed():
    from peft import LoraConfig, inject_adapter_in_model

    model = build_tiny(BertConfig(**tiny_config().to_dict()), add_pooling_layer=False)
    inject_adapter_in_model(LoraConfig(target_modules=["query"]), model)
    assert hasattr(model, "peft_config")
    compat.forget_peft_config(model)
    assert not hasattr(model, "peft_config")
    compat.forget_peft_config(model)


def test_ray_knows_the_cpus_of_this_container():
    assert 1 <= compat.cpus_of_container() <= (os.cpu_count() or 1)


def test_ray_s_state_and_its_health_check_are_where_they_were():
    from ray._private.state import state
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    assert callable(state.get_cluster_config)
    cause = ValueError("no answer")
    assert compat.health_check_failure(WorkerHealthCheckFailedError("a rank is gone", cause)) is cause
    assert compat.health_check_failure(cause) is None
