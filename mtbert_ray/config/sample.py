"""SampleConfig: which rows of a task a topic-balanced sample keeps, and how a row's topic is found."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mtbert_ray.config.sections import DataConfig
from mtbert_ray.schema import MAX_NUMBER, MAX_ROWS, MAX_STEPS, FiniteSchema, Name
from mtbert_ray.tasks import QUORA, TaskOrName, absolute_if_folder

SHARES_TOLERANCE = 1e-6
"""What the shares' sum may be away from 1."""


class TopicConfig(FiniteSchema):
    """One topic of a sample."""

    share: float = Field(ge=0, le=1)
    """Of the sample's rows. A topic of share 0 gets none: it draws off rows that belong to no other."""
    description: str | None = Field(default=None, min_length=1)
    """What `embeddings` compares rows with; none takes the topic's name. `zero_shot` always takes the name."""


def _by_share(value: object) -> object:
    """Let YAML give `Technology: 0.25` in place of the whole topic."""
    return {"share": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Topic = Annotated[TopicConfig, BeforeValidator(_by_share)]


class SampleConfig(FiniteSchema):
    """A topic-balanced sample of one task's training rows."""

    task: TaskOrName = QUORA
    """A known name or a whole specification."""
    data: DataConfig = DataConfig()
    """Where the rows of the known tasks are. `max_train_rows` limits the rows that are classified."""
    rows: int = Field(default=10_000, ge=1, le=MAX_ROWS)
    """Rows of the sample. It has fewer where topics run short."""
    topics: dict[str, Topic] = Field(min_length=2)
    """Topic -> share of the sample, or share and description."""
    method: Literal["zero_shot", "embeddings"]
    """`zero_shot`: the topic that a row entails by an NLI model (Yin et al. 2019). `embeddings`: the topic whose
    embedding is nearest to the row's."""
    model: Name = "facebook/bart-large-mnli"
    """NLI model of `zero_shot`: a local folder or a name on the Hugging Face Hub."""
    hypothesis: str = "This example is {}."
    """Of `zero_shot`, `{}` standing for the topic; this one is the transformers pipeline's own."""
    batch_size: int = Field(default=64, ge=1, le=MAX_STEPS)
    """Row-topic pairs that `zero_shot` classifies at once."""
    encoder: Name = "minilm"
    """Encoder of `embeddings`, named like a trial's."""
    pooling: Literal["auto", "cls", "mean", "pooler"] = "auto"
    """Of `embeddings`: how token states become an embedding."""
    temperature: float = Field(default=0.05, gt=0, le=MAX_NUMBER)
    """Of `embeddings`: confidences are the softmax of cosine similarities divided by it."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Draws the rows that `data.max_train_rows` keeps, and the weights of the encoder `tiny`."""

    @field_validator("hypothesis")
    @classmethod
    def _names_the_topic(cls, hypothesis: str) -> str:
        if hypothesis.count("{}") != 1 or hypothesis.count("{") != 1 or hypothesis.count("}") != 1:
            raise ValueError("must have {} once, where the topic's name goes")
        return hypothesis

    @model_validator(mode="after")
    def _shares_make_a_whole(self) -> Self:
        total = sum(topic.share for topic in self.topics.values())
        if abs(total - 1) > SHARES_TOLERANCE:
            shares = ", ".join(f"{name} {topic.share:g}" for name, topic in self.topics.items())
            raise ValueError(f"the shares of the topics must sum to 1, got {total:g} ({shares})")
        return self

    @property
    def shares(self) -> Mapping[str, float]:
        """Each topic's share, in the order of the YAML."""
        return {name: topic.share for name, topic in self.topics.items()}

    def with_absolute_paths(self) -> "SampleConfig":
        """Return the same with every local file and folder by its absolute path."""
        return self.model_copy(
            update={
                "data": self.data.with_absolute_paths(),
                "encoder": absolute_if_folder(self.encoder),
                "model": absolute_if_folder(self.model),
                "task": self.task.with_absolute_paths(),
            }
        )
