import pytest
import torch
from pydantic import ValidationError

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.tasks import STS

FIRST = ["Is the shop open?", "She sold two boats.", "Cold soup is odd."]
SECOND = ["When does it close, and is there a way in at the back?", "Two boats were sold.", "No."]


def config_of(**changes):
    return TrialConfig.model_validate(nest({"encoder": "tiny", **changes}))


def tokens_of(*sentences):
    return dict(load_tokenizer("tiny")(*sentences, padding=True, return_tensors="pt"))


def sentences_of(task, pair_encoding):
    if task == "sst":
        return (tokens_of(FIRST),)
    return (tokens_of(FIRST), tokens_of(SECOND)) if pair_encoding == "separate" else (tokens_of(FIRST, SECOND),)


LABELS = {
    "sst": torch.tensor([0.0, 4.0, 2.0]),
    "quora": torch.tensor([0.0, 1.0, 1.0]),
    "sts": torch.tensor([0.0, 5, 2]),
}


def total_loss(model, pair_encoding):
    return torch.stack(
        [
            model.loss(task, model(task, sentences_of(task, pair_encoding)), labels).mean()
            for task, labels in LABELS.items()
        ]
    ).sum()


@pytest.mark.parametrize("pair_encoding", ["separate", "joint"])
class TestFineTuning:
    def test_full_reaches_every_parameter(self, pair_encoding):
        model = build_model(config_of(pair_encoding=pair_encoding))
        total_loss(model, pair_encoding).backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []

    def test_heads_only_stops_at_the_embedding(self, pair_encoding):
        model = build_model(config_of(pair_encoding=pair_encoding, finetune="heads_only")).train()
        assert not any(embedding.requires_grad for embedding in model.embed(sentences_of("quora", pair_encoding)))
        total_loss(model, pair_encoding).backward()
        assert all(parameter.grad is None for parameter in model.encoder.parameters())
        assert all(parameter.grad is not None for parameter in model.heads.parameters())

    @pytest.mark.parametrize("kind", ["lora", "dora"])
    def test_adapter_trains_itself_and_the_heads(self, pair_encoding, kind):
        model = build_model(config_of(pair_encoding=pair_encoding, **{"adapter.kind": kind}))
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == ("lora_" in name or name.startswith("heads.")), name
        total_loss(model, pair_encoding).backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name

    def test_learns_its_batch_by_heart(self, pair_encoding):
        model = build_model(config_of(pair_encoding=pair_encoding))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(30):
            loss = total_loss(model, pair_encoding)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]


def test_frozen_features_are_the_same_in_train_and_eval_mode():
    model = build_model(config_of(finetune="heads_only", encoder_dropout=0.5))
    (in_eval,) = model.eval().embed((tokens_of(FIRST),))
    (in_train,) = model.train().embed((tokens_of(FIRST),))
    assert torch.equal(in_train, in_eval)
    assert model.heads.training
    assert not model.encoder.training


@pytest.mark.parametrize("changes", [{}, {"adapter.kind": "lora"}])
def test_a_trained_encoder_drops_out_in_train_mode(changes):
    model = build_model(config_of(encoder_dropout=0.5, **changes)).train()
    torch.manual_seed(0)
    (first,), (second,) = model.embed((tokens_of(FIRST),)), model.embed((tokens_of(FIRST),))
    assert not torch.allclose(first, second)


def test_frozen_encoder_still_carries_the_gradient_of_a_perturbation():
    model = build_model(config_of(finetune="heads_only")).train()
    noise = torch.zeros(32, requires_grad=True)
    handle = model.encoder.word_embeddings.register_forward_hook(lambda module, inputs, output: output + noise)
    total_loss(model, "joint").backward()
    handle.remove()
    assert noise.grad.abs().sum() > 0


def test_a_separate_pair_keeps_its_order():
    model = build_model(config_of(pair_encoding="separate"))
    first, second = tokens_of(FIRST), tokens_of(SECOND)
    with torch.no_grad():
        forwards, backwards = model("quora", (first, second)), model("quora", (second, first))
        (first_BD,), (second_BD,) = model.embed((first,)), model.embed((second,))
        torch.testing.assert_close(model.heads["quora"](first_BD, second_BD), forwards)
    assert not torch.allclose(forwards, backwards, atol=1e-4)


def test_predictions_have_the_tasks_shape_and_range():
    model = build_model(config_of())
    with torch.no_grad():
        predicted = {task: model.predict(task, model(task, sentences_of(task, "joint"))) for task in LABELS}
    assert all(prediction.shape == (3,) for prediction in predicted.values())
    assert set(predicted["sst"].tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert set(predicted["quora"].tolist()) <= {0.0, 1.0}
    assert ((predicted["sts"] - 2.5).abs() < 1).all()


class TestSeed:
    @pytest.mark.parametrize("changes", [{}, {"adapter.kind": "dora"}, {"finetune": "heads_only"}])
    def test_decides_the_weights_and_leaves_the_global_generator(self, changes):
        torch.manual_seed(11)
        before = torch.get_rng_state()
        first = build_model(config_of(seed=1, **changes)).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)
        again, other = (build_model(config_of(seed=seed, **changes)).state_dict() for seed in (1, 2))
        assert all(torch.equal(first[name], again[name]) for name in first)
        drawn = [name for name in first if name.startswith("heads.") and name.endswith("weight")]
        assert not any(torch.equal(first[name], other[name]) for name in drawn)

    def test_a_head_does_not_depend_on_what_stands_beside_it(self):
        alone = build_model(config_of(tasks=["sts"], **{"adapter.kind": "lora"})).heads["sts"].state_dict()
        beside = build_model(config_of()).heads["sts"].state_dict()
        assert all(torch.equal(alone[name], beside[name]) for name in alone)


class TestMistakes:
    def test_nothing_to_train(self):
        changes = {"finetune": "heads_only", "pair_encoding": "separate", "hidden_layers": 0}
        with pytest.raises(ValidationError, match="heads_only leaves nothing to train for sts"):
            config_of(**changes)
        build_model(config_of(**{**changes, "hidden_layers": {"sst": 0, "quora": 0, "sts": 1}}))

    def test_all_are_reported_at_once(self):
        task = STS.model_dump() | {"name": "type"}
        task["source"] = {"kind": "table", "train": "a.csv", "dev": "b.csv", "columns": {"sentence2": "second"}}
        with pytest.raises(ConfigError) as raised:
            build_model(config_of(tasks=[task], **{"data.max_length": 600}))
        assert len(raised.value.problems) == 2
        assert "data.max_length 600 is longer than the 512 tokens of encoder 'tiny'" in raised.value.problems[0]
        assert "'type' cannot name a task" in raised.value.problems[1]


def test_an_encoder_without_token_types_or_pooling_layer_trains(tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    tokenizer = load_tokenizer("tiny")
    DistilBertModel(
        DistilBertConfig(vocab_size=len(tokenizer), dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    changes = {"adapter.kind": "lora", "adapter.target_modules": ["q_lin", "v_lin"]}
    model = build_model(config_of(encoder=str(tmp_path), **changes)).train()
    total_loss(model, "joint").backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
