"""SMART against the paper's formulas written out here, in float64 on a small BERT."""

# B rows, L tokens, E width of a token's embedding

import pytest
import torch
from smart_cases import EVERY_TASK, batch_of, length_of, model_of, small_config
from torch.nn import functional

from mtbert_ray.config import SmartConfig
from mtbert_ray.data.batching import Batch
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.loss import TrainingLoss
from mtbert_ray.training.smart import ascend, initial_noise


class Reference:
    """The paper's quantities from the encoder's and the heads' bare layers, sharing no code with what is tested."""

    def __init__(self, model: MultitaskModel, batch: Batch) -> None:
        self.model, self.batch = model, batch

    def output(self, noise=None):
        embeddings = []
        for place, tokens in enumerate(self.batch.sentences):
            bert = self.model.encoder.model
            # BERT takes the tokens' own embeddings in place of their ids, before positions and normalization.
            embedded = bert.embeddings.word_embeddings(tokens["input_ids"])
            if noise is not None:
                embedded = embedded + noise[place]
            states = bert(
                inputs_embeds=embedded,
                attention_mask=tokens["attention_mask"],
                token_type_ids=tokens["token_type_ids"],
            ).last_hidden_state
            mask = tokens["attention_mask"].double()[..., None]
            embeddings.append((states * mask).sum(1) / mask.sum(1))
        scorer = self.model.heads[self.batch.task].scorer
        if self.batch.task == "sts" and len(embeddings) == 2:
            first, second = (scorer.layers(embedding) for embedding in embeddings)
            return 5 * (first * second).sum(-1) / (first.norm(dim=-1) * second.norm(dim=-1))
        return scorer.output(scorer.layers(torch.cat(embeddings, dim=-1))).squeeze(-1)

    def distance(self, perturbed, plain):
        """Section 3.1: symmetrized KL or the squared difference, each row's."""
        if self.batch.task == "sts":
            return (perturbed - plain) ** 2
        p, q = self.probabilities(perturbed), self.probabilities(plain)
        fixed_p, fixed_q = p.detach(), q.detach()
        return (fixed_q * torch.log(fixed_q / p)).sum(-1) + (fixed_p * torch.log(fixed_p / q)).sum(-1)

    def probabilities(self, logits):
        if self.batch.task == "quora":
            return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=-1)
        return functional.softmax(logits, dim=-1)

    def ascent(self, noise, smart: SmartConfig):
        plain = self.output().detach()
        for _ in range(smart.steps):
            at = [part.clone().requires_grad_(True) for part in noise]
            gradients = torch.autograd.grad(self.distance(self.output(at), plain).sum(), at)
            moved = []
            for part, gradient in zip(noise, gradients, strict=True):
                rows = []
                for row in range(len(part)):
                    length = self.length([other[row] for other in gradients], smart.norm)
                    rows.append(part[row] + smart.step_size * gradient[row] / length)
                moved.append(torch.stack(rows))
            noise = self.project(moved, smart)
        return noise

    @staticmethod
    def length(parts, norm):
        flat = torch.cat([part.flatten() for part in parts])
        return flat.abs().max() if norm == "inf" else (flat**2).sum().sqrt()

    def project(self, noise, smart: SmartConfig):
        if smart.norm == "inf":
            return [
                torch.minimum(torch.maximum(part, -part * 0 - smart.epsilon), part * 0 + smart.epsilon)
                for part in noise
            ]
        shrunk = [part.clone() for part in noise]
        for row in range(len(noise[0])):
            length = self.length([part[row] for part in noise], "l2")
            if length > smart.epsilon:
                for part in shrunk:
                    part[row] *= smart.epsilon / length
        return shrunk


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("pair_encoding", ["joint", "separate"])
@pytest.mark.parametrize("task", EVERY_TASK)
@pytest.mark.parametrize(
    "norm", [{"norm": "inf", "epsilon": 0.02, "step_size": 0.015}, {"norm": "l2", "epsilon": 0.3, "step_size": 0.2}]
)
def test_it_agrees_with_the_paper_s_formulas(steps, pair_encoding, task, norm):
    smart = {f"smart.{key}": value for key, value in {**norm, "steps": steps, "noise_variance": 1e-4}.items()}
    config = small_config(pair_encoding=pair_encoding, hidden_layers={"sst": 0, "quora": 1, "sts": 1}, **smart)
    model, batch = model_of(config), batch_of(task, config)
    reference = Reference(model, batch)

    loss = TrainingLoss(model, config.smart, seed=0, rank=0, bf16=False)(batch, epoch=1)
    gradients = torch.autograd.grad(
        loss.penalty.sum(), [p for p in model.parameters() if p.requires_grad], allow_unused=True
    )

    start = initial_noise(config.smart, model, batch, key=f"seed 0, epoch 1, {task}")
    noise = reference.ascent(reference.project(list(start), config.smart), config.smart)
    penalty = reference.distance(reference.output(noise), reference.output())
    expected = torch.autograd.grad(penalty.sum(), [p for p in model.parameters() if p.requires_grad], allow_unused=True)

    assert loss.smart_steps == steps
    assert penalty.mean() > 1e-9, "a noise that changes nothing would agree with anything"
    torch.testing.assert_close(loss.penalty, penalty, rtol=1e-6, atol=1e-12)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("norm", ["inf", "l2"])
@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_step_from_next_to_nothing_goes_where_the_gradient_points(norm, task):
    smart = SmartConfig(tasks=EVERY_TASK, norm=norm, steps=1, epsilon=10.0, step_size=0.1, noise_variance=1e-16)
    config = small_config(pair_encoding="joint")
    model, batch = model_of(config), batch_of(task, config)
    start = initial_noise(smart, model, batch, key="a key")
    reference = Reference(model, batch)
    at = [part.clone().requires_grad_() for part in start]
    plain = reference.output().detach()
    (gradient,) = torch.autograd.grad(reference.distance(reference.output(at), plain).sum(), at)
    (noise,) = ascend(smart, model, batch, start, plain=model(task, batch.sentences).detach(), dropout_seed=0).noise
    unit = functional.normalize(gradient.flatten(1), eps=1e-30)
    assert (functional.cosine_similarity(noise.flatten(1), unit) > 0.99).all()
    torch.testing.assert_close(length_of((noise,), norm), torch.full((6,), 0.1, dtype=torch.float64), rtol=1e-4, atol=0)
