import math

import pytest
import torch

from mtbert_ray.models.heads import build_head
from mtbert_ray.tasks import QUORA, SST, STS, TaskSpec

NLI = TaskSpec(
    name="nli",
    kind="pair_classification",
    num_classes=3,
    source={"kind": "table", "train": "a.csv", "dev": "b.csv", "columns": {"sentence2": "second"}},
)


def head_of(task, *, pair_encoding="joint", num_hidden=0, dropout=0.0, width=4):
    torch.manual_seed(0)
    return build_head(task, width=width, pair_encoding=pair_encoding, num_hidden=num_hidden, dropout=dropout)


def linear_shapes(head):
    layers = [module for module in head.modules() if isinstance(module, torch.nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in layers]


@pytest.mark.parametrize(
    ("task", "pair_encoding", "shapes"),
    [
        (SST, "separate", [(4, 4), (4, 4), (4, 5)]),
        (SST, "joint", [(4, 4), (4, 4), (4, 5)]),
        (QUORA, "separate", [(8, 8), (8, 8), (8, 1)]),
        (QUORA, "joint", [(4, 4), (4, 4), (4, 1)]),
        (NLI, "separate", [(8, 8), (8, 8), (8, 3)]),
        (STS, "separate", [(4, 4), (4, 4)]),
        (STS, "joint", [(4, 4), (4, 4), (4, 1)]),
    ],
)
def test_layers_of_each_kind(task, pair_encoding, shapes):
    head = head_of(task, pair_encoding=pair_encoding, num_hidden=2)
    assert linear_shapes(head) == shapes
    embeddings = [torch.randn(3, 4) for _ in range(2 if task.kind.is_pair and pair_encoding == "separate" else 1)]
    logits = head(*embeddings)
    assert logits.shape == ((3, task.num_classes) if task in (SST, NLI) else (3,))
    labels = torch.tensor([0.0, 1.0, 1.0])
    assert head.objective.loss(logits, labels).shape == (3,)
    assert head.objective.predict(logits).shape == (3,)


def test_cosine_closed_form():
    head = head_of(STS, pair_encoding="separate")
    first = torch.tensor([[1.0, 0.0, 0, 0], [1.0, 1.0, 0, 0], [3.0, 0.0, 0, 0], [1.0, 0.0, 0, 0]])
    second = torch.tensor([[2.0, 0.0, 0, 0], [1.0, 0.0, 0, 0], [0.0, 5.0, 0, 0], [-1.0, 0.0, 0, 0]])
    torch.testing.assert_close(head(first, second), torch.tensor([5.0, 5 / math.sqrt(2), 0.0, -5.0]))
    assert list(head.parameters()) == []


def test_cosine_reaches_from_the_lowest_to_the_highest_label():
    task = STS.model_copy(update={"label_range": (1.0, 4.0)})
    head = head_of(task, pair_encoding="separate")
    same, across = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0.0, 1, 0, 0]])
    assert head(same, same).item() == pytest.approx(4)
    assert head(same, across).item() == pytest.approx(1)


def test_cosine_puts_the_same_hidden_layers_on_both_sentences():
    head = head_of(STS, pair_encoding="separate", num_hidden=1)
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    torch.testing.assert_close(head(first, second), head(second, first))
    dense = head.scorer.layers[0]
    by_hand = torch.cosine_similarity(torch.relu(dense(first)), torch.relu(dense(second)), dim=-1)
    torch.testing.assert_close(head(first, second), 5 * by_hand)


def test_concatenation_is_first_then_second():
    head = head_of(QUORA, pair_encoding="separate")
    with torch.no_grad():
        head.scorer.output.weight.copy_(torch.tensor([[1.0, 0, 0, 0, 0, 0, 0, 10]]))
        head.scorer.output.bias.zero_()
    assert head(torch.tensor([[2.0, 0, 0, 5]]), torch.tensor([[7.0, 0, 0, 3]])).tolist() == [32.0]


def test_hidden_layer_by_hand():
    head = head_of(SST, num_hidden=1)
    embedding = torch.randn(3, 4)
    dense, output = (module for module in head.modules() if isinstance(module, torch.nn.Linear))
    torch.testing.assert_close(head(embedding), output(torch.relu(dense(embedding))))


@pytest.mark.parametrize("num_hidden", [0, 1, 2])
def test_one_dropout_before_every_linear_layer_and_never_two_in_a_row(num_hidden):
    head = head_of(SST, num_hidden=num_hidden, dropout=0.25)
    kinds = [type(module).__name__ for module in head.modules() if not list(module.children())]
    assert kinds == ["Dropout", *["Linear", "ReLU", "Dropout"] * num_hidden, "Linear"]
    assert {module.p for module in head.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}


def test_binary_loss_and_prediction():
    objective = head_of(QUORA).objective
    logits, labels = torch.tensor([0.0, 2.0, -3.0]), torch.tensor([1.0, 1.0, 1.0])
    expected = [math.log(2), math.log1p(math.exp(-2)), math.log1p(math.exp(3))]
    torch.testing.assert_close(objective.loss(logits, labels), torch.tensor(expected))
    assert objective.predict(logits).tolist() == [0.0, 1.0, 0.0]


def test_softmax_loss_and_prediction():
    objective = head_of(SST).objective
    logits = torch.zeros(2, 5)
    logits[1, 3] = math.log(4)
    torch.testing.assert_close(
        objective.loss(logits, torch.tensor([2.0, 3.0])), torch.tensor([math.log(5), math.log(2)])
    )
    assert objective.predict(logits)[1].item() == 3.0


def test_regression_starts_at_the_middle_of_the_labels():
    head = head_of(STS, num_hidden=1, width=32)
    assert head.scorer.output.bias.item() == 2.5
    assert head.objective.loss(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 4.0])).tolist() == [4.0, 0.0]


@pytest.mark.parametrize(
    ("task", "pair_encoding"), [(SST, "joint"), (QUORA, "joint"), (STS, "joint"), (STS, "separate")]
)
def test_losses_are_float32_under_autocast(task, pair_encoding):
    head = head_of(task, pair_encoding=pair_encoding, num_hidden=1)
    embeddings = [torch.randn(3, 4) for _ in range(2 if pair_encoding == "separate" else 1)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(*embeddings)
        assert head.objective.loss(logits, torch.ones(3)).dtype == torch.float32
        assert head.objective.predict(logits).dtype == torch.float32


@pytest.mark.parametrize("task", [SST, QUORA, NLI])
def test_the_divergence_of_classes_is_the_symmetrized_kl(task):
    head = head_of(task)
    shape = (3,) if task is QUORA else (3, task.num_classes)
    logits, other = (torch.randn(shape, dtype=torch.float64) for _ in range(2))

    def distribution(values):
        if task is QUORA:
            return torch.distributions.Bernoulli(logits=values)
        return torch.distributions.Categorical(logits=values)

    p, q = distribution(logits), distribution(other)
    expected = torch.distributions.kl_divergence(p, q) + torch.distributions.kl_divergence(q, p)
    torch.testing.assert_close(head.objective.divergence(logits, other), expected)
    assert head.objective.divergence(logits, logits).abs().max() == 0


def test_the_divergence_of_numbers_is_their_squared_difference():
    head = head_of(STS)
    assert head.objective.divergence(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 4.0])).tolist() == [4.0, 0.0]


def test_a_divergence_stays_finite_where_a_probability_rounds_to_zero():
    far = torch.tensor([[200.0, -200.0, 0, 0, 0]], requires_grad=True)
    divergence = head_of(SST).objective.divergence(far, far.detach().flip(1))
    divergence.sum().backward()
    assert torch.isfinite(divergence).all() and torch.isfinite(far.grad).all()
