import pytest
import torch

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.build import Start, build_model, changed_parameters


def config_of(**settings):
    return TrialConfig.model_validate(nest({"encoder": "tiny", **settings}))


def start_of(model, **changes):
    tasks, pooling = tuple(model.heads), model.encoder.pooling
    return Start(
        **{"folder": "old", "encoder": "tiny", "pooling": pooling, "tasks": tasks, "tensors": model.state_dict()}
        | changes
    )


def test_shared_heads_and_the_encoder_are_taken_over_and_others_are_fresh():
    old = build_model(config_of(seed=1, tasks=["sst", "sts"]))
    model = build_model(config_of(seed=2), start=start_of(old))
    fresh = build_model(config_of(seed=2))
    for name, tensor in model.state_dict().items():
        source = fresh if name.startswith("heads.quora.") else old
        assert torch.equal(tensor, source.state_dict()[name]), name
        # Two runs must not train the same numbers.
        assert tensor.data_ptr() != source.state_dict()[name].data_ptr()


def test_a_head_without_tensors_is_taken_over_too():
    settings = {"pair_encoding": "separate", "hidden_layers": 0, "tasks": ["sts"]}
    old = build_model(config_of(seed=1, **settings))
    model = build_model(config_of(**settings), start=start_of(old))
    assert not list(model.heads.parameters())
    with pytest.raises(ConfigError, match=r"head for task 'sts' does not fit; 2 missing: scorer\.layers\.0\.bias"):
        build_model(config_of(**{**settings, "hidden_layers": 1}), start=start_of(old))


def test_freezing_and_dropout_are_the_new_configurations():
    old = build_model(config_of(seed=1, dropout=0.5, encoder_dropout=0.4))
    settings = {"dropout": 0.25, "encoder_dropout": 0.125, "adapter.kind": "lora", "adapter.dropout": 0.0}
    model = build_model(config_of(**settings), start=start_of(old))
    rates = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25, 0.125}
    assert all(("lora_" in name or "heads." in name) == p.requires_grad for name, p in model.named_parameters())


def test_of_another_encoder_only_the_encoder_is_told():
    """Heads, whose width is the encoder's, and the pooling need not be mended then."""
    old = build_model(config_of(pooling="mean", hidden_layers=2))
    tensors = old.state_dict()
    tensors["encoder.model.embeddings.word_embeddings.weight"] = torch.zeros(7, 32)
    with pytest.raises(ConfigError) as raised:
        build_model(config_of(hidden_layers=1), start=start_of(old, tensors=tensors))
    assert raised.value.problems == (
        "init_from old: its encoder does not fit; 1 of another shape: model.embeddings.word_embeddings.weight ((7, 32),"
        " the model has (109, 32)). It was trained with encoder 'tiny': set encoder to that",
    )


def test_every_misfit_is_named_with_what_to_do():
    old = build_model(config_of(pooling="mean", hidden_layers=2))
    with pytest.raises(ConfigError) as raised:
        build_model(config_of(hidden_layers={"sst": 2, "quora": 1, "sts": 2}), start=start_of(old))
    assert raised.value.problems == (
        "init_from old: was trained with pooling mean, this run has pooler; set pooling to mean",
        "init_from old: its head for task 'quora' does not fit; 2 unexpected: scorer.layers.4.bias, "
        "scorer.layers.4.weight. Set hidden_layers, pair_encoding and the task's classes as in its config.json, or "
        "give the task another name",
    )


def test_another_pooling():
    old = build_model(config_of(pooling="mean"))
    with pytest.raises(ConfigError) as raised:
        build_model(config_of(), start=start_of(old))
    assert raised.value.problems == (
        "init_from old: was trained with pooling mean, this run has pooler; set pooling to mean",
    )


class TestChangedParameters:
    @pytest.mark.parametrize("settings", [{}, {"finetune": "heads_only"}, {"adapter.kind": "dora"}])
    def test_none_on_the_encoders_own_weights(self, settings):
        config = config_of(**settings)
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
