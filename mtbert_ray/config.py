"""TrialConfig: everything that decides how one fine-tuning run goes. Nothing below the sweep sees a bare dict.

Keys are searched and set by their dotted names, as `adapter.rank`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import RESERVED_NAMES
from mtbert_ray.schema import Schema
from mtbert_ray.tasks import QUORA, SST, STS, TaskKind, TaskOrName, absolute, absolute_if_folder

RowLimit = Annotated[int, Field(ge=1)]


class _Finite(Schema):
    """A setting of infinity or NaN is a mistake."""

    model_config = ConfigDict(allow_inf_nan=False)


class AdapterConfig(_Finite):
    """A parameter-efficient adapter inside the encoder, through peft. The encoder's own weights are then frozen."""

    kind: Literal["none", "lora", "dora"] = "none"
    """LoRA (Hu et al. 2021) or DoRA (Liu et al. 2024)."""
    rank: int = Field(default=8, ge=1)
    """Rank of the update matrices."""
    alpha: float = Field(default=16.0, gt=0)
    """Scale of the update: alpha / rank, or alpha / sqrt(rank) with rank-stabilised LoRA."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout in front of the update."""
    target_modules: tuple[str, ...] = ("query", "value")
    """Names of the linear layers that get an adapter."""
    rslora: bool = True
    """Rank-stabilised scaling (Kalajdzievski 2023)."""


class DataConfig(Schema):
    """Where the rows of sst, quora and sts are, and how many are used."""

    source: Literal["toy", "course"] = "toy"
    """`toy`: a small generated corpus. `course`: the CS224N course's files in `directory`."""
    directory: str | None = None
    """Folder of the course's files (ids-sst-train.csv and so on)."""
    max_train_rows: RowLimit | dict[str, RowLimit] | None = None
    """At most so many training rows, drawn with the seed: one number for every task, or one a task (a task that is not
    named is not limited). None takes all."""
    max_dev_rows: int | None = Field(default=None, ge=2)
    """At most so many dev rows a task, the same ones for every trial; none takes all."""
    max_length: int = Field(default=128, ge=8)
    """Longest sequence in tokens, special tokens included; longer ones are cut, the longer sentence of a pair first."""

    @model_validator(mode="after")
    def _course_has_a_directory(self) -> Self:
        if self.source == "course" and self.directory is None:
            raise ValueError("source 'course' needs directory: the folder of the course's files (or --data DIR)")
        return self

    def max_train_rows_of(self, task_name: str) -> int | None:
        """Return the limit of one task's training rows; none takes all."""
        limit = self.max_train_rows
        return limit.get(task_name) if isinstance(limit, dict) else limit

    def on_course_files(self, directory: Path) -> "DataConfig":
        """Return the same limits on the course's files in a folder."""
        return self.model_copy(update={"source": "course", "directory": str(directory)})


class ResourceConfig(_Finite):
    """What one trial holds while it runs."""

    num_workers: int = Field(default=1, ge=1)
    """Data-parallel workers (DDP ranks) of the trial; they share the global batch."""
    gpus_per_worker: float | Literal["auto"] = "auto"
    """GPUs of each worker; a fraction shares one. `auto`: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: int = Field(default=1, ge=1)
    """CPU cores of each worker, which is also its number of computing threads when it has no GPU."""
    launcher: Literal["auto", "inline", "train"] = "auto"
    """`inline`: in a reused Tune actor, one worker. `train`: Ray Train's TorchTrainer. `auto`: by `num_workers`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        gpus = self.gpus_per_worker
        if isinstance(gpus, (int, float)):
            if not 0 <= gpus <= 1:
                raise ValueError(f"gpus_per_worker {gpus:g} must be 0, a fraction, or 1; for more raise num_workers")
            if 0 < gpus < 1 and self.num_workers > 1:
                raise ValueError("a fraction of a GPU means one worker: NCCL refuses two ranks on one GPU")
        if self.launcher == "inline" and self.num_workers > 1:
            raise ValueError(f"launcher 'inline' has one worker, got num_workers {self.num_workers}; use 'train'")
        return self

    @property
    def uses_ray_train(self) -> bool:
        """Whether trials run under Ray Train's TorchTrainer."""
        return self.launcher == "train" or (self.launcher == "auto" and self.num_workers > 1)


class TrialConfig(_Finite):
    """One setting, complete: the same configuration and seed give the same run."""

    encoder: str = "minilm"
    """`minilm` (packaged), `tiny` (random, for tests), a local folder, or a name on the Hugging Face Hub."""
    pooling: Literal["auto", "cls", "mean", "pooler"] = "auto"
    """How token states become a sentence embedding. `auto`: as the encoder was made (minilm mean, BERT pooler)."""
    pair_encoding: Literal["separate", "joint"] = "joint"
    """The paper's v1 (each sentence embedded alone) or v2 (the pair joined by [SEP], embedded once)."""
    hidden_layers: int | dict[str, int] = 1
    """(Linear, ReLU, Dropout) blocks of each head: one number for all tasks, or one a task."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the heads."""
    encoder_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout inside the encoder; none keeps the encoder's own (0.1 for BERT)."""
    finetune: Literal["full", "heads_only"] = "full"
    """The paper's full-model and last-linear-layer: whether gradients reach the encoder."""
    adapter: AdapterConfig = AdapterConfig()

    tasks: tuple[TaskOrName, ...] = Field(default=(SST, QUORA, STS), min_length=1)
    """Known names or whole specifications, in training order."""
    data: DataConfig = DataConfig()
    task_order: Literal["sequential", "proportional"] = "proportional"
    """Each epoch one task after another (the paper), or batches mixed at random in proportion to the tasks' sizes."""

    batch_size: int = Field(default=16, ge=1)
    """Global: the workers split it, so a result does not depend on their number."""
    learning_rate: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Gradients are clipped to this global L2 norm; none does not clip."""
    schedule: Literal["linear", "constant"] = "linear"
    """Learning rate after warm-up: linear decay to zero, or constant."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    epochs: int = Field(default=10, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16`: autocast. `auto`: bf16 on a GPU that has it, else fp32."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    resources: ResourceConfig = ResourceConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks {names} must have different names")
        if taken := sorted({*names} & RESERVED_NAMES):
            raise ValueError(
                f"tasks cannot be named {', '.join(taken)}: a report or a prediction file has that name already"
            )
        if isinstance(self.hidden_layers, dict):
            if set(self.hidden_layers) != set(names):
                raise ValueError(f"hidden_layers names {sorted(self.hidden_layers)}, the tasks are {sorted(names)}")
            if min(self.hidden_layers.values()) < 0:
                raise ValueError("hidden_layers must not be negative")
        elif self.hidden_layers < 0:
            raise ValueError(f"hidden_layers {self.hidden_layers} must not be negative")
        if isinstance(self.data.max_train_rows, dict) and not set(self.data.max_train_rows) <= set(names):
            raise ValueError(f"data.max_train_rows names {sorted(self.data.max_train_rows)}, the tasks are {names}")
        regressions = [task.name for task in self.tasks if task.kind is TaskKind.PAIR_REGRESSION]
        if self.finetune == "heads_only" and self.pair_encoding == "separate":
            untrained = [name for name in regressions if self.hidden_layers_of(name) == 0]
            if untrained:
                raise ValueError(
                    f"finetune heads_only leaves nothing to train for {', '.join(untrained)}: a separate pair's cosine "
                    "without hidden layers has no parameters; set hidden_layers to 1 or more, or pair_encoding to joint"
                )
        if self.finetune == "heads_only" and self.adapter.kind != "none":
            raise ValueError(f"finetune heads_only freezes the encoder, so adapter.kind {self.adapter.kind} has no use")
        if self.batch_size < self.resources.num_workers:
            raise ValueError(
                f"batch_size {self.batch_size} is global and cannot feed {self.resources.num_workers} workers"
            )
        return self

    def with_absolute_paths(self) -> "TrialConfig":
        """Return the same with every local file and folder by its absolute path.

        Trials run in folders of their own, where a relative path is another file.
        """
        data = self.data
        if data.directory is not None:
            data = data.model_copy(update={"directory": absolute(data.directory)})
        tasks = tuple(task.with_absolute_paths() for task in self.tasks)
        return self.model_copy(update={"data": data, "encoder": absolute_if_folder(self.encoder), "tasks": tasks})

    @property
    def encoder_is_trained(self) -> bool:
        """Whether the encoder's own weights change."""
        return self.finetune == "full" and self.adapter.kind == "none"

    def hidden_layers_of(self, task_name: str) -> int:
        """Return the number of hidden layers of one task's head."""
        return self.hidden_layers[task_name] if isinstance(self.hidden_layers, dict) else self.hidden_layers


def nest(dotted: Mapping[str, Any], where: str | None = None) -> dict[str, Any]:
    """Turn dotted keys into nested dicts: `{"adapter.rank": 8}` into `{"adapter": {"rank": 8}}`.

    Plain keys with mappings are merged with dotted ones: `{"adapter": {"kind": "lora"}, "adapter.rank": 8}`. Of the
    same key written both ways the later one counts.

    Args:
        dotted: as read.
        where: the file, for a message.

    Raises:
        ConfigError: a key has a value and keys below it: `{"adapter": 3, "adapter.rank": 8}`.
    """
    return lay_over({}, dotted, where)


def lay_over(nested: dict[str, Any], dotted: Mapping[str, Any], where: str | None) -> dict[str, Any]:
    """Put dotted keys into nested dicts, in place, and return these. Arguments and errors as of `nest`."""
    conflicts: dict[str, object] = {}
    _put_all(nested, dotted, "", conflicts)
    if conflicts:
        place = "" if where is None else f"{where}: "
        text = "{}'{}' has the value {!r} and keys below it; keep one of the two"
        raise ConfigError([text.format(place, key, value) for key, value in conflicts.items()])
    return nested


def _put_all(target: dict[str, Any], dotted: Mapping[Any, Any], prefix: str, conflicts: dict[str, object]) -> None:
    for key, value in dotted.items():
        # A key that is no text, as 3, is none of ours: as a text it is refused like other unknown ones.
        *parents, leaf = str(key).split(".")
        place, below = prefix, target
        for parent in parents:
            below, place = _section(below, parent, place, conflicts), f"{place}{parent}."
        if isinstance(value, Mapping):
            _put_all(_section(below, leaf, place, conflicts), value, f"{place}{leaf}.", conflicts)
        elif isinstance(below.get(leaf), dict):
            conflicts[f"{place}{leaf}"] = value
        else:
            below[leaf] = value


def _section(target: dict[str, Any], key: str, place: str, conflicts: dict[str, object]) -> dict[str, Any]:
    section = target.setdefault(key, {})
    if isinstance(section, dict):
        return section
    conflicts[f"{place}{key}"] = section
    return {}
