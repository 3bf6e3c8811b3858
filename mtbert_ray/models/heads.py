"""The heads of tasks: what scores embeddings, and the loss, prediction and probabilities of the scores."""

# B batch, D width of one embedding, C classes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtbert_ray.tasks import TaskKind, TaskSpec


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Draw what is initialized inside from a random stream of its own, on the CPU; restore the generator afterwards.

    The initial weights of a head do not depend on the other heads.
    """
    digest = blake2b(f"{seed}/{part}".encode(), digest_size=7).digest()
    # `torch.manual_seed` would also reseed every accelerator, which fork_rng(devices=[]) would not restore.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest, "big"))
        yield


def _wide(logits: Tensor) -> Tensor:
    """Return bfloat16 as float32; wider types stay."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _cross_entropy(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    return functional.cross_entropy(_wide(logits_BC), labels_B.long(), reduction="none")


def _binary_cross_entropy(logit_B: Tensor, labels_B: Tensor) -> Tensor:
    logit_B = _wide(logit_B)
    return functional.binary_cross_entropy_with_logits(logit_B, labels_B.to(logit_B.dtype), reduction="none")


def _squared_error(value_B: Tensor, other_B: Tensor) -> Tensor:
    value_B = _wide(value_B)
    return functional.mse_loss(value_B, other_B.to(value_B.dtype), reduction="none")


def _symmetrized_kl(logits_BC: Tensor, other_BC: Tensor) -> Tensor:
    # From log_softmax: the logarithm of a softmax that has rounded to 0 is infinite.
    log_p_BC, log_q_BC = _wide(logits_BC).log_softmax(dim=-1), _wide(other_BC).log_softmax(dim=-1)
    return _kl_from_target(log_p_BC, log_q_BC) + _kl_from_target(log_q_BC, log_p_BC)


def _kl_from_target(log_target_BC: Tensor, log_p_BC: Tensor) -> Tensor:
    """Return KL(target || p) of each row; the target is taken as given, so no gradient reaches it."""
    log_target_BC = log_target_BC.detach()
    return (log_target_BC.exp() * (log_target_BC - log_p_BC)).sum(dim=-1)


def _binary_symmetrized_kl(logit_B: Tensor, other_B: Tensor) -> Tensor:
    return _symmetrized_kl(_two_classes(logit_B), _two_classes(other_B))


def _two_classes(logit_B: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(logit_B), logit_B], dim=-1)


def _softmax(logits_BC: Tensor) -> Tensor:
    return _wide(logits_BC).softmax(dim=-1)


def _sigmoid_of_both(logit_B: Tensor) -> Tensor:
    return _softmax(_two_classes(logit_B))


def _likeliest_class(logits_BC: Tensor) -> Tensor:
    return logits_BC.argmax(dim=-1).float()


def _likelier_class(logit_B: Tensor) -> Tensor:
    return (logit_B > 0).float()


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a head's logits mean."""

    loss: Callable[[Tensor, Tensor], Tensor]
    """(logits, labels_B) -> loss_B, unreduced, float32 at least whatever the autocast mode."""
    predict: Callable[[Tensor], Tensor]
    """logits -> prediction_B, float32: the class's index, or the number in label units."""
    probabilities: Callable[[Tensor], Tensor] | None
    """logits -> probabilities_BC, float32 at least; none for a regression."""
    divergence: Callable[[Tensor, Tensor], Tensor]
    """(logits, other logits) -> divergence_B, how far two outputs for the same rows are apart (Jiang et al. 2020,
    section 3.1): KL in both directions, each with its target taken as given, or the squared difference."""


SOFTMAX = Objective(loss=_cross_entropy, predict=_likeliest_class, probabilities=_softmax, divergence=_symmetrized_kl)
"""logits_BC, one a class."""
BINARY = Objective(
    loss=_binary_cross_entropy,
    predict=_likelier_class,
    probabilities=_sigmoid_of_both,
    divergence=_binary_symmetrized_kl,
)
"""logit_B: the log odds of class 1."""
REGRESSION = Objective(loss=_squared_error, predict=Tensor.float, probabilities=None, divergence=_squared_error)
"""value_B in label units."""


class LinearScorer(nn.Module):
    """Concatenated embeddings through hidden layers to `num_outputs` numbers.

    One dropout stands in front of every linear layer, the first included: without hidden layers this is the paper's
    v1 (dropout, linear).
    """

    def __init__(self, *, width: int, num_outputs: int, num_hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), *_hidden_layers(width, num_hidden, dropout))
        self.output = nn.Linear(width, num_outputs)

    def forward(self, *embeddings_BD: Tensor) -> Tensor:
        """Return logits of shape (B, num_outputs), or (B,) for one output."""
        logits: Tensor = self.output(self.layers(torch.cat(embeddings_BD, dim=-1)))
        return logits.squeeze(-1) if self.output.out_features == 1 else logits


class CosineScorer(nn.Module):
    """The cosine of two embeddings, each through the hidden layers, as lowest + (highest - lowest) * cosine.

    Without hidden layers it has no parameters. A negative cosine falls below the lowest label, as in the paper.
    """

    def __init__(self, *, width: int, label_range: tuple[float, float], num_hidden: int, dropout: float) -> None:
        super().__init__()
        self.lowest, self.highest = label_range
        self.layers = nn.Sequential(*_hidden_layers(width, num_hidden, dropout))

    def forward(self, first_BD: Tensor, second_BD: Tensor) -> Tensor:
        """Return value_B in label units, float32 at least."""
        first_BD, second_BD = _wide(self.layers(first_BD)), _wide(self.layers(second_BD))
        cosine_B = functional.cosine_similarity(first_BD, second_BD, dim=-1)
        return self.lowest + (self.highest - self.lowest) * cosine_B


class Head(nn.Module):
    """A scorer and what its logits mean."""

    def __init__(self, scorer: LinearScorer | CosineScorer, objective: Objective) -> None:
        super().__init__()
        self.scorer = scorer
        self.objective = objective

    def forward(self, *embeddings_BD: Tensor) -> Tensor:
        """Return logits of shape (B, C), or (B,) for one number an example, from one embedding or a pair's two."""
        logits: Tensor = self.scorer(*embeddings_BD)
        return logits

    def outputs(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities_BC and the logits_BC that they are the softmax of, or the value_B of a regression."""
        if self.objective.probabilities is None:
            return (self.objective.predict(logits),)
        class_logits_BC = _two_classes(_wide(logits)) if self.objective is BINARY else _wide(logits)
        return self.objective.probabilities(logits), class_logits_BC


def build_head(
    task: TaskSpec, *, width: int, pair_encoding: Literal["separate", "joint"], num_hidden: int, dropout: float
) -> Head:
    """Return the head of a task, initialized from the current generator.

    The task's kind decides the scorer and the objective. Two classes of a pair have one logit, as in the paper. `width`
    is that of one embedding: for the class of a separate pair the two are concatenated, so hidden layers too are twice
    as wide. `num_hidden` counts (Linear, ReLU, Dropout) blocks.
    """
    takes_two = task.kind.is_pair and pair_encoding == "separate"
    if task.kind.is_regression:
        assert task.label_range is not None, "TaskSpec gives a regression its range"
        if takes_two:
            cosine = CosineScorer(width=width, label_range=task.label_range, num_hidden=num_hidden, dropout=dropout)
            return Head(cosine, REGRESSION)
        scorer = LinearScorer(width=width, num_outputs=1, num_hidden=num_hidden, dropout=dropout)
        # Adam moves the bias by about the learning rate a step: from 0 to the middle of 0..5 at 1e-5 takes 250,000
        # steps; until then the weights would have to make up for it.
        nn.init.constant_(scorer.output.bias, sum(task.label_range) / 2)
        return Head(scorer, REGRESSION)
    assert task.num_classes is not None, "data.classes.with_classes has found the classes"
    is_binary = task.kind is TaskKind.PAIR_CLASSIFICATION and task.num_classes == 2
    scorer = LinearScorer(
        width=2 * width if takes_two else width,
        num_outputs=1 if is_binary else task.num_classes,
        num_hidden=num_hidden,
        dropout=dropout,
    )
    return Head(scorer, BINARY if is_binary else SOFTMAX)


def _hidden_layers(width: int, num_hidden: int, dropout: float) -> list[nn.Module]:
    blocks = ((nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout)) for _ in range(num_hidden))
    return list(chain.from_iterable(blocks))
