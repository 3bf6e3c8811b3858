"""The paper's own numbers, a row an experiment, from published.csv. Knows nothing of our sweeps and of settings."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import pandas as pd

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
    read as MiB), gpu_utilisation_mean."""


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
                "gpu_utilisation_mean": row["gpu_utilisation_mean"],
            },
        )
        for row in rows
    )
