import pytest
import torch
from safetensors.torch import load_file, save_file

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import CheckpointError
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.state import base_fingerprint, load_trainable_state, trainable_state

MODES = [
    {},
    {"adapter.kind": "lora"},
    {"adapter.kind": "dora"},
    {"finetune": "heads_only"},
    {"adapter.kind": "vera"},
    {"adapter.kind": "lora", "adapter.library": "loralib"},
]


def model_of(seed=0, **changes):
    return build_model(TrialConfig.model_validate(nest({"encoder": "tiny", "seed": seed, **changes})))


def train_at_random(model, seed=7):
    """Move everything trainable, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


@torch.no_grad()
def logits_of(model):
    tokens = dict(load_tokenizer("tiny")(["One lamp.", "Two lamps, then."], padding=True, return_tensors="pt"))
    return torch.cat([model(task, (tokens,)).flatten() for task in ("sst", "quora", "sts")])


@pytest.mark.parametrize("changes", MODES)
def test_round_trip_through_a_file(changes, tmp_path):
    model = model_of(**changes)
    train_at_random(model)
    save_file(trainable_state(model), tmp_path / "model.safetensors")
    restored = model_of(**changes)
    assert not torch.allclose(logits_of(restored), logits_of(model))
    load_trainable_state(restored, load_file(tmp_path / "model.safetensors"))
    assert torch.equal(logits_of(restored), logits_of(model))
    for name, tensor in model.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor), name


def test_a_frozen_encoder_stays_out_of_the_checkpoint():
    full, lora, heads = (set(trainable_state(model_of(**changes))) for changes in (MODES[0], MODES[1], MODES[3]))
    assert any(name.startswith("encoder.") for name in full)
    assert all(name.startswith("heads.") for name in heads)
    assert {name for name in lora if not name.startswith("heads.")} == {
        f"encoder.model.encoder.layer.{layer}.attention.self.{target}.lora_{matrix}.default.weight"
        for layer in (0, 1)
        for target in ("query", "value")
        for matrix in "AB"
    }
    assert full == set(model_of().state_dict())


def test_the_projection_that_veras_layers_share_is_held_once_and_read_back(tmp_path):
    model = model_of(**MODES[4])
    train_at_random(model)
    state = trainable_state(model)
    assert sum(".vera_A." in name for name in state) == sum(".vera_B." in name for name in state) == 1
    save_file(state, tmp_path / "model.safetensors")
    restored = model_of(**MODES[4])
    for name, buffer in restored.named_buffers():
        if "vera_" in name:  # as if another version of torch had drawn it
            buffer.normal_(generator=torch.Generator().manual_seed(9))
    load_trainable_state(restored, load_file(tmp_path / "model.safetensors"))
    assert torch.equal(logits_of(restored), logits_of(model))


def test_changed_parameters_are_held_and_no_part_of_the_fingerprint():
    model = model_of(finetune="heads_only")
    name = "encoder.model.encoder.layer.1.output.dense.bias"
    assert name not in trainable_state(model)
    before = base_fingerprint(model), base_fingerprint(model, changed={name})
    state = {name: tensor.clone() for name, tensor in trainable_state(model, changed={name}).items()}
    with torch.no_grad():
        model.get_parameter(name).add_(1)
    assert base_fingerprint(model) != before[0]
    assert base_fingerprint(model, changed={name}) == before[1] != before[0]
    load_trainable_state(model, state, changed={name})
    assert base_fingerprint(model) == before[0]


class TestFingerprint:
    @pytest.mark.parametrize("changes", MODES[1:])
    def test_tells_encoders_apart_and_ignores_training(self, changes):
        model = model_of(**changes)
        before = base_fingerprint(model)
        assert len(before) == 32
        assert base_fingerprint(model_of(**changes)) == before
        train_at_random(model)
        assert base_fingerprint(model) == before
        assert base_fingerprint(model_of(seed=1, **changes)) != before

    def test_one_changed_number_shows(self):
        model = model_of(finetune="heads_only")
        before = base_fingerprint(model)
        with torch.no_grad():
            model.encoder.model.encoder.layer[1].output.dense.bias[3] += 1e-6
        assert base_fingerprint(model) != before

    def test_is_empty_when_nothing_is_frozen(self):
        assert base_fingerprint(model_of()) == ""


class TestMisfits:
    def test_each_kind_is_named_and_nothing_is_loaded(self):
        model = model_of(finetune="heads_only")
        state = {name: tensor.clone() + 1 for name, tensor in trainable_state(model).items()}
        before = {name: tensor.clone() for name, tensor in trainable_state(model).items()}
        del state["heads.sts.scorer.output.bias"]
        state["heads.sst.scorer.output.bias"] = torch.zeros(3)
        state |= {f"heads.extra.{number}": torch.zeros(1) for number in range(5)}
        with pytest.raises(CheckpointError) as raised:
            load_trainable_state(model, state)
        message = str(raised.value)
        assert "1 missing: heads.sts.scorer.output.bias;" in message
        assert "5 unexpected: heads.extra.0, heads.extra.1, heads.extra.2, ...;" in message
        assert "1 of another shape: heads.sst.scorer.output.bias ((3,), the model has (5,))." in message
        assert all(torch.equal(trainable_state(model)[name], tensor) for name, tensor in before.items())

    def test_a_checkpoint_of_another_mode(self):
        with pytest.raises(CheckpointError, match="missing"):
            load_trainable_state(model_of(**{"adapter.kind": "lora"}), trainable_state(model_of(finetune="heads_only")))
