"""SMART and adapters: the methods whose hyperparameters are searched."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.schema import MAX_FACTOR, MAX_NUMBER, MAX_RANK, MAX_STEPS, FiniteSchema, Name


class SmartConfig(FiniteSchema):
    """SMART's smoothness-inducing adversarial regularizer (Jiang et al. 2020, section 3.1).

    Its loss is added to that of the tasks named here. docs/methods.md says what each choice costs.
    """

    tasks: tuple[str, ...] = ()
    """Tasks that are regularized; none of them turns SMART off."""
    steps: int = Field(default=1, ge=0, le=MAX_STEPS)
    """Ascent steps k on the noise; 0 leaves it random, which costs least."""
    epsilon: float = Field(default=1e-5, gt=0, le=MAX_FACTOR)
    """Largest norm of an example's noise."""
    step_size: float = Field(default=1e-3, gt=0, le=MAX_FACTOR)
    """Length of an ascent step in the same norm, before the noise is projected back to epsilon."""
    noise_variance: float = Field(default=1e-5, gt=0, le=MAX_FACTOR)
    """Variance of the normal noise that the ascent starts from."""
    norm: Literal["inf", "l2"] = "inf"
    """Of the noise on all of an example's embeddings together: the largest absolute value, or the Euclidean length."""
    weight: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Lambda: what the regularizer counts beside the task's loss."""
    tolerance: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """A row's ascent ends when a step raised its divergence by less than this share; none takes all steps. A GPU then
    waits for the CPU at each step."""


class AdapterConfig(FiniteSchema):
    """A parameter-efficient adapter inside the encoder. The encoder's own weights are then frozen."""

    kind: Literal["none", "lora", "dora", "vera"] = "none"
    """LoRA (Hu et al. 2021), DoRA (Liu et al. 2024) or VeRA (Kopiczko et al. 2023)."""
    library: Literal["peft", "loralib"] = "peft"
    """`loralib`: Microsoft's own LoRA, as in the paper's table 6 (needs the `loralib` extra); `lora` only."""
    rank: int = Field(default=8, ge=1, le=MAX_RANK)
    """Rank of the update matrices."""
    alpha: float = Field(default=16.0, gt=0, le=MAX_NUMBER)
    """Scale of the update: alpha / rank, or alpha / sqrt(rank) with rank-stabilized LoRA. VeRA has none."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout in front of the update."""
    target_modules: tuple[Name, ...] = ("query", "value")
    """Linear layers that get an adapter: `query`, `key`, `value`, `output` for those projections of any encoder's
    attention, or the ends of the encoder's own names."""
    rslora: bool = True
    """Rank-stabilized scaling (Kalajdzievski 2023). VeRA has none."""
    initialization: Literal["default", "gaussian", "pissa", "olora"] = "default"
    """Of LoRA's and DoRA's matrices: `default` (A random, B zero), `gaussian` (A normal, B zero), or from the weights
    themselves: PiSSA's principal singular vectors (Meng et al. 2024), OLoRA's QR factors (Buyukakyuz 2024)."""
    learning_rate_ratio: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """LoRA+ (Hayou et al. 2024): the learning rate of B over that of everything else; the authors advise 16."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.library == "loralib" and self.kind in ("dora", "vera"):
            raise ValueError(f"library 'loralib' has LoRA only, got kind '{self.kind}'; use library 'peft'")
        if self.library == "loralib" and self.initialization != "default":
            raise ValueError(
                f"library 'loralib' has only the default initialization, not '{self.initialization}'; use 'peft'"
            )
        if self.kind == "vera" and self.initialization != "default":
            raise ValueError(f"kind 'vera' has the default initialization only, got '{self.initialization}'")
        if self.kind == "vera" and self.learning_rate_ratio != 1:
            raise ValueError(
                f"kind 'vera' trains no matrix B, so learning_rate_ratio {self.learning_rate_ratio:g} has no use"
            )
        return self
