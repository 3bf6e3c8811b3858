import pytest
import torch

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.build import InitialWeights, build_model, changed_parameters


def config_of(**changes):
    return TrialConfig.model_validate(nest({"encoder": "tiny", **changes}))


def weights_of(model, **fields):
    tasks, pooling = tuple(model.heads), model.encoder.pooling
    return InitialWeights(
        **{"folder": "old", "encoder": "tiny", "pooling": pooling, "tasks": tasks, "tensors": model.state_dict()}
        | fields
    )


def test_shared_heads_and_the_encoder_are_taken_over_and_others_are_fresh():
    old = build_model(config_of(seed=1, tasks=["sst", "sts"]))
    model = build_model(config_of(seed=2), initial_weights=weights_of(old))
    fresh = build_model(config_of(seed=2))
    for name, tensor in model.state_dict().items():
        source = fresh if name.startswith("heads.quora.") else old
        assert torch.equal(tensor, source.state_dict()[name]), name
        # Two runs must not train the same numbers.
        assert tensor.data_ptr() != source.state_dict()[name].data_ptr()


def test_a_head_without_tensors_is_taken_over_too():
    changes = {"pair_encoding": "separate", "hidden_layers": 0, "tasks": ["sts"]}
    old = build_model(config_of(seed=1, **changes))
    model = build_model(config_of(**changes), initial_weights=weights_of(old))
    assert not list(model.heads.parameters())
    with pytest.raises(ConfigError, match=r"head for task 'sts' does not fit; 2 missing: scorer\.layers\.0\.bias"):
        build_model(config_of(**{**changes, "hidden_layers": 1}), initial_weights=weights_of(old))


def test_freezing_and_dropout_are_the_new_configurations():
    old = build_model(config_of(seed=1, dropout=0.5, encoder_dropout=0.4))
    changes = {"dropout": 0.25, "encoder_dropout": 0.125, "adapter.kind": "lora", "adapter.dropout": 0.0}
    model = build_model(config_of(**changes), initial_weights=weights_of(old))
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25, 0.125}
    assert all(("lora_" in name or "heads." in name) == p.requires_grad for name, p in model.named_parameters())


def test_of_another_encoder_nothing_else_is_reported():
    old = build_model(config_of(pooling="mean", hidden_layers=2))
    tensors = old.state_dict()
    tensors["encoder.model.embeddings.word_embeddings.weight"] = torch.zeros(7, 32)
    with pytest.raises(ConfigError) as raised:
        build_model(config_of(hidden_layers=1), initial_weights=weights_of(old, tensors=tensors))
    (problem,) = raised.value.problems
    assert "encoder does not fit" in problem
    assert "embeddings.word_embeddings.weight ((7, 32), the model has (109, 32))" in problem


def test_every_misfit_is_named_with_what_to_do():
    old = build_model(config_of(pooling="mean", hidden_layers=2))
    with pytest.raises(ConfigError) as raised:
        build_model(config_of(hidden_layers={"sst": 2, "quora": 1, "sts": 2}), initial_weights=weights_of(old))
    pooling, head = raised.value.problems
    assert pooling.endswith("set pooling to mean")
    assert "'quora'" in head and "2 unexpected: scorer.layers.4.bias, scorer.layers.4.weight" in head


class TestChangedParameters:
    @pytest.mark.parametrize("changes", [{}, {"finetune": "heads_only"}, {"adapter.kind": "dora"}])
    def test_none_on_the_encoders_own_weights(self, changes):
        config = config_of(**changes)
        assert not changed_parameters(build_model(config), config)

    @pytest.mark.parametrize("initialization", ["pissa", "olora"])
    def test_what_the_adapter_took_a_part_of(self, initialization):
        config = config_of(**{"adapter.kind": "lora", "adapter.initialization": initialization})
        model, plain = build_model(config), build_model(config_of()).state_dict()
        # Found by comparing values, not names.
        differing = {
            name
            for name, parameter in model.named_parameters()
            if not parameter.requires_grad and not torch.equal(parameter, plain[name.replace(".base_layer", "")])
        }
        assert changed_parameters(model, config) == differing
        assert len(differing) == 4

    def test_all_after_init_from(self):
        config = config_of(finetune="heads_only", init_from="old")
        model = build_model(config)
        assert changed_parameters(model, config) == {f"encoder.{n}" for n, _ in model.encoder.named_parameters()}
