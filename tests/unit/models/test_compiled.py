"""Compiled passes are the plain ones: values, gradients, names. With a compiler that only records, which is quick."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.models.build import build_model
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.state import trainable_state
from mtbert_ray.training.epoch_result import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import Process

NO_DROPOUT = {"dropout": 0.0, "encoder_dropout": 0.0, "adapter.dropout": 0.0}
TEXTS = (["A well.", "Nobody came, so we left early.", "Hm"], ["Two of them, then", "Yes"], ["One", "1", "I", "uno"])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def config_of(**dotted) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoder": "tiny", **NO_DROPOUT, **dotted}))


def tokens_of(texts):
    tokens = load_tokenizer("tiny")(texts, padding=True, return_tensors="pt")
    return tuple(tokens[name] for name in ("input_ids", "attention_mask", "token_type_ids"))


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_the_same_embeddings_and_gradients_for_every_shape(adapter):
    plain, compiled = (build_model(config_of(**{"adapter.kind": adapter})).encoder.train() for _ in range(2))
    counter = CompileCounterWithBackend("aot_eager")
    compiled.compile_passes(backend=counter)
    assert [*compiled.state_dict()] == [*plain.state_dict()]
    graphs = []
    for texts in TEXTS:
        outputs = [encoder(*tokens_of(texts)) for encoder in (plain, compiled)]
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-6)
        for encoder, output in zip((plain, compiled), outputs, strict=True):
            encoder.zero_grad()
            output.square().sum().backward()
        gradients = [[p.grad for p in encoder.parameters() if p.requires_grad] for encoder in (plain, compiled)]
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
        graphs.append(counter.frame_count)
    # Once for all: a compiler called anew for each shape of a run would never be done.
    assert graphs[0] > 0 and len(set(graphs)) == 1


@pytest.mark.parametrize("settings", [{}, {"pair_encoding": "separate", "adapter.kind": "lora"}])
def test_a_run_is_the_same(settings):
    small = {"epochs": 2, "learning_rate": 1e-3, "data.max_train_rows": 40, "data.max_dev_rows": 30}
    results = []
    for is_compiled in (False, True):
        run = TrainingRun(config_of(**small, **settings), process=Process())
        if is_compiled:
            run.model.encoder.compile_passes(backend="aot_eager")
        epochs = [result for result in run.epochs() if isinstance(result, EpochResult)]
        results.append(([epoch.losses.all for epoch in epochs], trainable_state(run.model)))
    (plain_losses, plain), (compiled_losses, compiled) = results
    assert compiled_losses == pytest.approx(plain_losses, rel=1e-4)
    assert compiled.keys() == plain.keys()


def test_the_setting_compiles_and_smart_is_refused():
    small = {"data.max_train_rows": 8, "data.max_dev_rows": 8}
    assert TrainingRun(config_of(**small, compile=True), process=Process()).model.encoder.is_compiled
    assert not TrainingRun(config_of(**small), process=Process()).model.encoder.is_compiled
    with pytest.raises(ValueError, match=r"compile cannot be had with smart\.tasks"):
        config_of(compile=True, **{"smart.tasks": ["sst"]})
