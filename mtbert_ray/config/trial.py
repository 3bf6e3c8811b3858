"""TrialConfig: all hyperparameters of one trial. Nothing below the sweep sees a bare dict of them."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.config.keys import dotted
from mtbert_ray.config.sections import AdapterConfig, DataConfig, ProfileConfig, ResourceConfig, SmartConfig
from mtbert_ray.metrics import RESERVED_NAMES
from mtbert_ray.schema import (
    MAX_FACTOR,
    MAX_HIDDEN_LAYERS,
    MAX_NUMBER,
    MAX_STEPS,
    FiniteSchema,
    Name,
)
from mtbert_ray.tasks import QUORA, SST, STS, TaskKind, TaskOrName, TaskSpec, absolute, absolute_if_folder

HiddenLayers = Annotated[int, Field(le=MAX_HIDDEN_LAYERS)]


class TrialConfig(FiniteSchema):
    """All hyperparameters of one trial: the same config and seed give the same run."""

    experiment: str | None = None
    """What the report calls this config: the name of one of a search space's `experiments`."""
    encoder: Name = "minilm"
    """`minilm` (packaged), `tiny` (random, for tests), a local folder, or a name on the Hugging Face Hub."""
    pooling: Literal["auto", "cls", "mean", "pooler"] = "auto"
    """How token states become a sentence embedding. `auto`: as the encoder was made (minilm mean, BERT pooler)."""
    pair_encoding: Literal["separate", "joint"] = "joint"
    """The paper's v1 (each sentence embedded alone) or v2 (the pair joined by [SEP], embedded once)."""
    hidden_layers: HiddenLayers | dict[str, HiddenLayers] = 1
    """(Linear, ReLU, Dropout) blocks of each head: one number for all tasks, or one a task."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout of the heads."""
    encoder_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout inside the encoder; none keeps the encoder's own (0.1 for BERT)."""
    finetune: Literal["full", "heads_only"] = "full"
    """The paper's full-model and last-linear-layer: whether gradients reach the encoder."""
    adapter: AdapterConfig = AdapterConfig()
    smart: SmartConfig = SmartConfig()
    init_from: Name | None = None
    """Checkpoint folder of an earlier run with the initial weights: its encoder, its adapters merged, and the heads of
    the tasks that both have. None takes the encoder's own weights and fresh heads."""

    tasks: tuple[TaskOrName, ...] = Field(default=(SST, QUORA, STS), min_length=1)
    """Known names or whole specifications, in training order."""
    data: DataConfig = DataConfig()
    task_order: Literal["sequential", "proportional"] = "proportional"
    """Each epoch one task after another (the paper), or batches mixed at random in proportion to the tasks' sizes."""

    batch_size: int = Field(default=16, ge=1, le=MAX_STEPS)
    """Global: the workers split it, so a result does not depend on their number."""
    accumulation_steps: int = Field(default=1, ge=1, le=MAX_STEPS)
    """Parts of a batch that go through the model one after another before a step: less memory and, but for the draw of
    the dropout masks, the same result."""
    learning_rate: float = Field(default=1e-5, gt=0, le=MAX_NUMBER)
    """At its highest, after warm-up."""
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = "none"
    """Multiplies `learning_rate` by batch_size / base_batch_size (Goyal et al. 2017) or by its square root; give it
    some warm-up. `none` takes the rate as it is."""
    base_batch_size: int = Field(default=16, ge=1, le=MAX_STEPS)
    """The batch size that `learning_rate` was found with, for `learning_rate_scaling`."""
    weight_decay: float = Field(default=0.01, ge=0, le=MAX_FACTOR)
    """Of AdamW."""
    max_grad_norm: float | None = Field(default=1.0, gt=0, le=MAX_NUMBER)
    """Gradients are clipped to this global L2 norm; none does not clip."""
    schedule: Literal["linear", "constant"] = "linear"
    """Learning rate after warm-up: linear decay to zero, or constant."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    epochs: int = Field(default=10, ge=1, le=MAX_STEPS)
    """Passes over the training rows; the checkpoint of the one with the best dev_score is kept."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16`: autocast. `auto`: bf16 on a GPU that has it, else fp32."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of everything that is drawn: heads, adapters, the order of batches, dropout, row limits."""
    resources: ResourceConfig = ResourceConfig()
    profile: ProfileConfig = ProfileConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        names = [task.name for task in self.tasks]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = names.index(name)
                raise ValueError(f"tasks.{index} has the name '{name}', as tasks.{first} has; names must be different")
            if name in RESERVED_NAMES:
                taken = "a report or a prediction file has that name already"
                raise ValueError(f"tasks.{index} cannot be named {name}: {taken}; choose another")
        if isinstance(self.hidden_layers, dict):
            if set(self.hidden_layers) != set(names):
                raise ValueError(f"hidden_layers names {sorted(self.hidden_layers)}, the tasks are {sorted(names)}")
            if min(self.hidden_layers.values()) < 0:
                raise ValueError("hidden_layers must not be negative")
        elif self.hidden_layers < 0:
            raise ValueError(f"hidden_layers {self.hidden_layers} must not be negative")
        by_task: dict[str, Collection[str]] = {
            "data.max_train_rows": self.data.max_train_rows if isinstance(self.data.max_train_rows, dict) else {},
            "data.train_files": self.data.train_files,
            "smart.tasks": self.smart.tasks,
        }
        if len(set(self.smart.tasks)) < len(self.smart.tasks):
            raise ValueError(f"smart.tasks {list(self.smart.tasks)} names a task twice")
        for key, named in by_task.items():
            if not set(named) <= set(names):
                raise ValueError(f"{key} names {sorted(named)}, the tasks are {names}")
        regressions = [task.name for task in self.tasks if task.kind is TaskKind.PAIR_REGRESSION]
        cut = [task.name for task in self.tasks if task.source is not None and task.source.split is not None]
        if leaking := sorted(set(cut) & set(self.data.train_files)):
            raise ValueError(
                f"data.train_files names {', '.join(leaking)}, whose dev rows are cut from the source's training rows "
                "by split and could be among the file's; give the source dev rows of their own"
            )
        if self.finetune == "heads_only" and self.pair_encoding == "separate":
            untrained = [name for name in regressions if self.hidden_layers_of(name) == 0]
            if untrained:
                raise ValueError(
                    f"finetune heads_only leaves nothing to train for {', '.join(untrained)}: a separate pair's cosine "
                    "without hidden layers has no parameters; set hidden_layers to 1 or more, or pair_encoding to joint"
                )
        if self.finetune == "heads_only" and self.adapter.kind != "none":
            raise ValueError(f"finetune heads_only freezes the encoder, so adapter.kind {self.adapter.kind} has no use")
        if self.batch_size < self.resources.num_workers * self.accumulation_steps:
            parts = f" in {self.accumulation_steps} accumulation_steps" if self.accumulation_steps > 1 else ""
            raise ValueError(
                f"batch_size {self.batch_size} is global and cannot feed {self.resources.num_workers} workers{parts}"
            )
        return self

    def with_absolute_paths(self) -> "TrialConfig":
        """Return the same with every local file and folder by its absolute path.

        Trials run in folders of their own, where a relative path is another file.
        """
        return self.model_copy(
            update={
                "data": self.data.with_absolute_paths(),
                "encoder": absolute_if_folder(self.encoder),
                "init_from": None if self.init_from is None else absolute(self.init_from),
                "tasks": tuple(task.with_absolute_paths() for task in self.tasks),
            }
        )

    @property
    def scaled_learning_rate(self) -> float:
        """The highest learning rate, after `learning_rate_scaling`."""
        factor = self.batch_size / self.base_batch_size
        match self.learning_rate_scaling:
            case "none":
                return self.learning_rate
            case "linear":
                return self.learning_rate * factor
            case "sqrt":
                return self.learning_rate * math.sqrt(factor)

    def hidden_layers_of(self, task_name: str) -> int:
        """Return the number of hidden layers of one task's head."""
        return self.hidden_layers[task_name] if isinstance(self.hidden_layers, dict) else self.hidden_layers


def absolute_paths_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted key -> value with absolute paths, for the keys that `TrialConfig.with_absolute_paths` changes."""
    return {key: PATHS[key](value) if key in PATHS and value is not None else value for key, value in values.items()}


def _task_with_absolute_paths(task: Any) -> Any:  # noqa: ANN401
    # As in the YAML: what was left out there is not to appear here.
    if isinstance(task, str):
        return task
    return TaskSpec.model_validate(task).with_absolute_paths().model_dump(mode="json", exclude_unset=True)


PATHS: dict[str, Callable[[Any], Any]] = {
    "encoder": absolute_if_folder,
    "init_from": absolute,
    "data.directory": absolute,
    "data.train_files": lambda files: {task: absolute(file) for task, file in files.items()},
    "tasks": lambda tasks: list(map(_task_with_absolute_paths, tasks)),
}


def without_effect(config: TrialConfig) -> dict[str, str]:
    """Return dotted key -> why its value, which is not the default, has no effect."""
    chosen, defaults = (dotted(each.model_dump(mode="json")) for each in (config, TrialConfig()))
    changed = {key for key, value in chosen.items() if value != defaults.get(key)}
    found: dict[str, str] = {}
    adapter, smart = config.adapter, config.smart
    for keys, is_unused, reason in (
        ("adapter.", adapter.kind == "none", "adapter.kind is none"),
        (("adapter.alpha", "adapter.rslora"), adapter.kind == "vera", "VeRA learns its scales"),
        ("smart.", not smart.tasks, "smart.tasks names no task"),
        (("smart.step_size", "smart.tolerance"), smart.tasks and smart.steps == 0, "smart.steps is 0"),
        ("base_batch_size", config.learning_rate_scaling == "none", "learning_rate_scaling is none"),
        ("profile.", config.profile.steps == 0, "profile.steps is 0"),
    ):
        if is_unused:
            found |= {key: reason for key in sorted(changed) if key.startswith(keys)}
    return found


def never_with_effect(configs: Iterable[TrialConfig]) -> dict[str, str]:
    """Return dotted key -> why, for the keys that are without effect in every one of these configurations."""
    per_config = [without_effect(config) for config in configs]
    shared = set.intersection(*(set(found) for found in per_config)) if per_config else set()
    return {key: reason for key, reason in per_config[0].items() if key in shared} if per_config else {}
