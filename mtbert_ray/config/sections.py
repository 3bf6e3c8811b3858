"""The groups of keys of a trial and of a search space: data, smart, adapter, resources, halving, probe, report."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtbert_ray.deprecated import HALVING_KEYS, renaming
from mtbert_ray.schema import (
    MAX_FACTOR,
    MAX_NUMBER,
    MAX_PROCESSES,
    MAX_RANK,
    MAX_ROWS,
    MAX_STEPS,
    FiniteSchema,
    Name,
    Schema,
)
from mtbert_ray.tasks import absolute

RowLimit = Annotated[int, Field(ge=1, le=MAX_ROWS)]


class DataConfig(Schema):
    """Where the rows of sst, quora and sts are, and how many are used."""

    source: Literal["toy", "course"] = "toy"
    """`toy`: a small generated corpus. `course`: the CS224N course's files in `directory`."""
    directory: Name | None = None
    """Folder of the course's files (ids-sst-train.csv and so on)."""
    train_files: dict[str, Name] = Field(default_factory=dict)
    """Task -> file with its training rows in place of the source's, in the same columns: a topic-balanced sample of
    `python -m mtbert_ray.sample`, for instance."""
    max_train_rows: RowLimit | dict[str, RowLimit] | None = None
    """At most so many training rows, drawn with the seed: one number for every task, or one a task (a task that is not
    named is not limited). None takes all."""
    max_dev_rows: int | None = Field(default=None, ge=2, le=MAX_ROWS)
    """At most so many dev rows a task, the same ones for every trial; none takes all."""
    max_length: int = Field(default=128, ge=8, le=MAX_STEPS)
    """Longest sequence in tokens, special tokens included; longer ones are cut, the longer sentence of a pair first."""

    @model_validator(mode="after")
    def _course_has_a_directory(self) -> Self:
        if self.source == "course" and self.directory is None:
            raise ValueError("source 'course' needs directory; give --data DIR, the folder of the course's files")
        return self

    def max_train_rows_of(self, task_name: str) -> int | None:
        """Return the limit of one task's training rows; none takes all."""
        limit = self.max_train_rows
        return limit.get(task_name) if isinstance(limit, dict) else limit

    def on_course_files(self, directory: Path) -> "DataConfig":
        """Return the same limits on the course's files in a folder."""
        return self.model_copy(update={"source": "course", "directory": str(directory)})

    def with_absolute_paths(self) -> "DataConfig":
        """Return the same with every file and folder by its absolute path."""
        return self.model_copy(
            update={
                "directory": None if self.directory is None else absolute(self.directory),
                "train_files": {task: absolute(file) for task, file in self.train_files.items()},
            }
        )


class SmartConfig(FiniteSchema):
    """SMART's smoothness-inducing adversarial regularizer (Jiang et al. 2020, section 3.1).

    Its loss is added to that of the tasks named here. docs/methods.md has the cost of each choice.
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
    """Lambda: what the regularizer counts in addition to the task's loss."""
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


class ResourceConfig(FiniteSchema):
    """What one trial holds while it runs."""

    num_workers: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    """Data-parallel workers (DDP ranks) of the trial; they share the global batch."""
    gpus_per_worker: float | Literal["auto"] = "auto"
    """GPUs of each worker; a fraction shares one. `auto`: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: int = Field(default=1, ge=1, le=MAX_PROCESSES)
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
    def num_gpus(self) -> float:
        """GPUs of each worker, `auto` resolved against the cluster."""
        assert self.gpus_per_worker != "auto", "it is resolved against the cluster first"
        return self.gpus_per_worker

    @property
    def uses_ray_train(self) -> bool:
        """Whether trials run under Ray Train's TorchTrainer."""
        return self.launcher == "train" or (self.launcher == "auto" and self.num_workers > 1)


class ProbeConfig(Schema):
    """Costs are known in seconds, scores in hours: after some steps a trial reports what its whole run would cost."""

    steps: int = Field(default=30, ge=0, le=MAX_STEPS)
    """Steps that are timed; 0 probes nothing. A run whose first epoch is shorter than warm-up and probe has none."""
    warmup_steps: int = Field(default=5, ge=0, le=MAX_STEPS)
    """Steps before them, slower than the others: caches fill, kernels are chosen."""
    margin: float = Field(default=0.1, ge=0, lt=1)
    """A projected cost stops a trial only if it would do so at this share less: steps vary."""


class HalvingConfig(Schema):
    """How trials are stopped; the defaults are what `benchmarks/scheduling.py` found best, see docs/scheduling.md."""

    _old_keys = model_validator(mode="before")(renaming(HALVING_KEYS))

    grace_period: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    """The first rung: no trial stops before it. If not given, a seventeenth of a full run and at least 1: earlier
    results mislead."""
    reduction_factor: Annotated[float, Field(gt=1, le=MAX_FACTOR)] = 3.0
    """The next rung is this many times as far."""
    keep_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The quantile of the rung's priorities up to which a trial continues; ASHA's is 1 / reduction_factor."""
    order: Literal["rank", "epsilon_net", "hypervolume"] = "rank"
    """How results with several objectives are ordered; with one it makes no difference."""
    spare_front: bool = True
    """Never stop a trial that nobody at the rung dominates. `rank` does not either way."""
    min_results: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 1
    """Results a rung must have had before one that reaches it can be stopped."""
    share_to_end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the trials that are never stopped for their losses, drawn by trial; with 1 nothing is."""
    brackets: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 1
    """Each trial is in one of so many brackets, drawn by trial; bracket 0 can stop it at every rung, bracket 1 from the
    second on, and so on. All compare with all."""
    seed: int = 0
    """Of the draws."""


class ReportConfig(Schema):
    """What the report recommends, and what it marks."""

    keep_share: float = Field(default=0.95, gt=0, lt=1)
    """The report names the cheapest trial that keeps this share of the best score."""
    task_loss: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """The report marks a task of a trial whose score is more than this below that task's best."""


class ProfileConfig(Schema):
    """Traces of training steps, written to `profile/` in the trial's folder for TensorBoard and Perfetto."""

    steps: int = Field(default=0, ge=0, le=MAX_STEPS)
    """Steps recorded at a time; 0 profiles nothing."""
    wait: int = Field(default=5, ge=0, le=MAX_STEPS)
    """Steps left alone before each recording."""
    warmup: int = Field(default=2, ge=0, le=MAX_STEPS)
    """Steps traced but thrown away before each recording, as the tracer's start is slow."""
    repeat: int = Field(default=1, ge=1, le=MAX_STEPS)
    """Recordings, one trace each."""
    memory: bool = False
    """Whether allocations are recorded as well, which slows the recorded steps."""
