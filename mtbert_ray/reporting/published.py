"""The paper's own numbers, a row an experiment, from published.csv. Knows nothing of our sweeps and of settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator
from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig, dotted, nest
from mtbert_ray.schema import Schema

_MIB_PER_GIB = 1024
_TEXTS = ("experiment", "setting", "score_name", "hardware")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of one of the paper's tables; None where the paper has no number."""

    table: int
    experiment: str
    """Its name, also in the search space of the table."""
    setting: str
    """In words, to be shown: published.yaml has the keys and values."""
    hardware: str | None
    """Where the paper says it of this row, or of its whole table."""
    score_name: Literal["leaderboard_score", "dev_score"]
    """What the table's mean is."""
    metrics: dict[str, float | None]
    """Our names -> the paper's numbers: the tasks' scores, the mean, train_seconds, peak_memory_gib (the paper's MB
    read as MiB), gpu_utilization_mean."""


@cache
def published_rows(table: int) -> tuple[PublishedRow, ...]:
    """Return the rows of one of the paper's tables, in its order; none for a table that it does not have."""
    with (files("mtbert_ray.reporting") / "published.csv").open(encoding="utf-8") as file:
        cells = pd.read_csv(file, dtype=dict.fromkeys(_TEXTS, "object"))
    cells = cells[cells["table"] == table]
    rows = cells.astype("object").where(cells.notna(), None).to_dict("records")
    return tuple(
        PublishedRow(
            table=table,
            experiment=row["experiment"],
            setting=row["setting"],
            hardware=row["hardware"],
            score_name=row["score_name"],
            metrics={
                "sst": row["sst"],
                "quora": row["quora"],
                "sts": row["sts"],
                row["score_name"]: row["score"],
                "train_seconds": row["train_seconds"],
                "peak_memory_gib": None if row["peak_memory_mb"] is None else row["peak_memory_mb"] / _MIB_PER_GIB,
                "gpu_utilization_mean": row["gpu_utilization_mean"],
            },
        )
        for row in rows
    )


class PublishedSample(Schema):
    """How the paper's sample of Quora rows was drawn."""

    rows: int
    method: str
    model: str
    shares: dict[str, float]
    """Topic -> its share of the rows."""


@dataclass(frozen=True, kw_only=True)
class PublishedSettings:
    """What one row of one table was run with."""

    table: int
    config: TrialConfig
    """As its search space here has it; `data.directory` stands for any folder."""
    told: frozenset[str]
    """The dotted keys whose values the paper tells; all others are assumed."""
    sample: PublishedSample
    """What `data.train_files` holds, where it names a file."""

    def named(self, key: str, value: str) -> str:
        """Return in words whose value of a key this is: "the paper: 10", or "table 6 here: 10, assumed"."""
        return f"the paper: {value}" if key in self.told else f"table {self.table} here: {value}, assumed"


class _Layer(Schema):
    """Settings by their dotted or nested keys."""

    told: dict[str, Any] = Field(default={})
    assumed: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _keys_are_told_or_assumed(self) -> Self:
        if both := self.dotted_told.keys() & self.dotted_assumed.keys():
            raise ValueError(f"{sorted(both)} cannot be both told and assumed")
        return self

    @property
    def dotted_told(self) -> dict[str, Any]:
        return dotted(nest(self.told))

    @property
    def dotted_assumed(self) -> dict[str, Any]:
        return dotted(nest(self.assumed))


class _Table(_Layer):
    experiments: dict[str, _Layer]


class _Published(Schema):
    everywhere: _Layer
    tables: dict[int, _Table]
    sample: PublishedSample


def published_experiments(table: int) -> tuple[str, ...]:
    """Return the names of a table's experiments, in its order."""
    return tuple(_published().tables[table].experiments)


@cache
def published_configs(table: int, experiment: str) -> PublishedSettings:
    """Return what a row was run with."""
    content = _published().tables[table]
    values: dict[str, Any] = {"experiment": experiment, "data.directory": "data"}
    told: frozenset[str] = frozenset()
    for layer in (_published().everywhere, content, content.experiments[experiment]):
        values |= layer.dotted_told | layer.dotted_assumed
        told = (told - layer.dotted_assumed.keys()) | layer.dotted_told.keys()
    config = TrialConfig.model_validate(nest(values))
    return PublishedSettings(table=table, config=config, told=told, sample=_published().sample)


@cache
def _published() -> _Published:
    text = (files("mtbert_ray.reporting") / "published.yaml").read_text(encoding="utf-8")
    content: Mapping[str, Any] = YAML(typ="safe").load(text)
    return _Published.model_validate(content)
