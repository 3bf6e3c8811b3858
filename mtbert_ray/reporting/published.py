"""The paper's own numbers, a row an experiment, from published.csv. Knows nothing of our sweeps."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import pandas as pd

PAPER_ENCODER = "bert-base-uncased"

_MIB_PER_GIB = 1024
_TEXTS = ("experiment", "setting", "score_name", "hardware")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of one of the paper's tables; None where the paper has no number."""

    table: int
    experiment: str
    """Its name, also in the search space of the table."""
    setting: str
    """In words."""
    hardware: str | None
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


def epochs_of(row: PublishedRow) -> int:
    """Return the epochs that the paper trained a row for: 10 by default, 20 in tables 7, 8 and two rows of table 5."""
    return 20 if row.table in (7, 8) or "20 epochs" in row.setting else 10


def workers_of(row: PublishedRow) -> int:
    """Return the data-parallel workers that the paper trained a row on."""
    return 8 if row.table == 8 else 1


def ascent_steps_of(row: PublishedRow) -> int | None:
    """Return SMART's ascent steps k, where the paper tells them."""
    told = re.search(r"(\d+) ascent step", row.setting)
    return int(told[1]) if told else None


def is_on_sample(row: PublishedRow) -> bool:
    """Whether the paper's run ended its training on 10,000 Quora rows chosen by topic."""
    return row.table == 5 or "sample" in row.setting or "by topic" in row.setting
