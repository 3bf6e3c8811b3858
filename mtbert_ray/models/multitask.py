"""One encoder, one head a task. Knows nothing of data sets, optimisers or devices."""

# B batch, L tokens, D width, C classes

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import ConfigError
from mtbert_ray.models.adapters import add_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder
from mtbert_ray.models.heads import Head, build_head
from mtbert_ray.models.initialisation import seeded

TokenBatch = Mapping[str, Tensor]
"""`input_ids`, `attention_mask` and `token_type_ids`, each (B, L)."""


class MultitaskModel(nn.Module):
    """An encoder shared by the heads of all tasks.

    Args:
        encoder: with its adapters, and frozen or not: its `requires_grad` flags are not changed here.
        heads: task name -> head.
    """

    def __init__(self, encoder: Encoder, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, task: str, sentences: tuple[TokenBatch, ...]) -> Tensor:
        """Return the task's logits, (B, C) or (B,).

        Args:
            task: name of the head.
            sentences: one batch of tokens, or the two of a pair whose sentences are embedded separately.
        """
        logits: Tensor = self._head(task)(*self.embed(sentences))
        return logits

    def embed(self, sentences: tuple[TokenBatch, ...]) -> tuple[Tensor, ...]:
        """Return embedding_BD of each batch of tokens.

        The two sentences of a pair take a forward each: padding them to one length cost more than it saved (0.91x).
        A frozen encoder records no graph, as none of its parameters wants a gradient; only an input that does, as the
        perturbation of SMART, makes it record one.
        """
        return tuple(
            self.encoder(tokens["input_ids"], tokens["attention_mask"], tokens["token_type_ids"])
            for tokens in sentences
        )

    def loss(self, task: str, logits: Tensor, labels_B: Tensor) -> Tensor:
        """Return loss_B, float32, unreduced."""
        return self._head(task).objective.loss(logits, labels_B)

    def predict(self, task: str, logits: Tensor) -> Tensor:
        """Return prediction_B, float32: the class's index, or the number in label units."""
        return self._head(task).objective.predict(logits)

    def train(self, mode: bool = True) -> Self:
        """Set training or eval mode; a wholly frozen encoder stays in eval mode.

        Frozen features are then the same in every epoch, and can be computed once. With an adapter the encoder is
        trained, so its dropout follows the mode.
        """
        super().train(mode)
        if self.encoder_is_frozen:
            self.encoder.eval()
        return self

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether nothing in the encoder is trained, not even an adapter."""
        return not any(parameter.requires_grad for parameter in self.encoder.parameters())

    def _head(self, task: str) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head


def build_model(config: TrialConfig) -> MultitaskModel:
    """Build the model of a trial on the CPU, in float32 and eval mode.

    The same configuration and seed give the same weights; the global random state stays as it is. A head's weights
    depend on the seed and on its own task only.

    Raises:
        EncoderError: the encoder cannot be loaded.
        ConfigError: parts that do not fit the encoder or each other; all of them at once.
    """
    encoder = load_encoder(config.encoder, pooling=config.pooling, dropout=config.encoder_dropout, seed=config.seed)
    heads: dict[str, Head] = {}
    for task in config.tasks:
        with seeded(config.seed, f"head/{task.name}"):
            heads[task.name] = build_head(
                task,
                width=encoder.width,
                pair_encoding=config.pair_encoding,
                num_hidden=config.hidden_layers_of(task.name),
                dropout=config.dropout,
            )
    _check_parts(config, encoder, heads)
    if config.finetune == "heads_only":
        encoder.requires_grad_(False)
    elif config.adapter.kind != "none":
        add_adapter(encoder, config.adapter, seed=config.seed)
    return MultitaskModel(encoder, heads).eval()


def _check_parts(config: TrialConfig, encoder: Encoder, heads: Mapping[str, Head]) -> None:
    problems = []
    if encoder.max_length is not None and config.data.max_length > encoder.max_length:
        problems.append(
            f"data.max_length {config.data.max_length} is longer than the {encoder.max_length} tokens of encoder "
            f"'{config.encoder}'"
        )
    # nn.ModuleDict finds its modules as attributes, so it refuses the names of its own methods.
    reserved = nn.ModuleDict()
    problems += [
        f"tasks: '{name}' cannot name a task, torch.nn.ModuleDict uses it itself; choose another name"
        for name in heads
        if hasattr(reserved, name)
    ]
    if problems:
        raise ConfigError(problems)
