"""Writes a sample: a table that can be read back as training rows, and JSON that describes how it was drawn."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.data.sources import COURSE_SEPARATOR, Examples, columns_of, load_file
from mtbert_ray.data.table import FORMATS, SEPARATORS
from mtbert_ray.errors import ConfigError, DataError, UserError
from mtbert_ray.files import make_folder, put_file
from mtbert_ray.task_source import TableSource
from mtbert_ray.tasks import TaskSpec

if TYPE_CHECKING:  # It imports torch, which check_target need not wait for.
    from mtbert_ray.sampling.sample import Sample

TOPIC_COLUMN = "topic"
CONFIDENCE_COLUMN = "confidence"


def check_target(path: Path, task: TaskSpec) -> None:
    """Refuse a file that cannot or must not be written, before any work is done.

    Raises:
        UserError: its extension is unknown, it exists already, or its folder cannot be made.
        ConfigError: the task has a column of a name that the sample needs for its own, or dev rows that are cut from
            its training rows.
    """
    if task.source is not None and task.source.split is not None:
        own = "dev: FILE" if isinstance(task.source, TableSource) else "dev_split: NAME"
        raise ConfigError(
            [
                f"task '{task.name}': source.split cuts its dev rows from the training rows, so its sample could hold "
                f"dev rows and data.train_files refuses it; give the source {own} in place of split"
            ]
        )
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--out {path}: the extension '{path.suffix}' is not known; allowed are {', '.join(FORMATS)}")
    for target in (path, about_path(path)):
        if target.exists():
            raise UserError(f"--out {path}: {target} exists already; give another file, or delete that one")
    columns = columns_of(task)
    taken = {columns.sentence1, columns.sentence2, columns.label, columns.id} & {TOPIC_COLUMN, CONFIDENCE_COLUMN}
    if taken:
        raise ConfigError(
            [f"task '{task.name}': a sample has a column '{name}' of its own; rename the task's" for name in taken]
        )
    make_folder(path.parent, f"--out {path}: its folder {path.parent}")


def about_path(path: Path) -> Path:
    """Return the path of a sample's JSON."""
    return path.with_suffix(".json")


def write_sample(sample: "Sample", config: SampleConfig, path: Path) -> None:
    """Write the rows, topic by topic and the most confident first, and then the JSON next to them.

    A text file is separated and quoted as the task's own files are, so that `data.train_files` can name it. It is read
    back before it is put into its place.

    Raises:
        UserError: the disk refuses, or reading gives other rows than those of the sample.
    """
    frame = sample_frame(sample)
    try:
        if path.suffix.lower() == ".parquet":
            put_file(path, lambda new: frame.reset_index(drop=True).to_parquet(new))
        else:
            text = _checked_text(sample, frame, config.task, path)
            put_file(path, lambda new: new.write_text(text, encoding="utf-8", newline=""))
        about_sample = json.dumps(about(sample, config), indent=2, ensure_ascii=False) + "\n"
        put_file(about_path(path), lambda new: new.write_text(about_sample, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written: {error}") from error


def _checked_text(sample: "Sample", frame: pd.DataFrame, task: TaskSpec, path: Path) -> str:
    """Return the sample as delimited text that `data.train_files` reads as the same rows; refuse what it would not."""
    separator = _separator(task, path.suffix.lower())
    form = {"sep": separator, "index": task.source is None, "lineterminator": "\n", **_quoting(task)}
    try:
        text: str = frame.to_csv(None, **form)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            written = Path(folder) / path.name
            written.write_text(text, encoding="utf-8", newline="")
            is_same = frame.empty or _is_same(load_file(sample.task, written), sample, frame)
    except (csv.Error, DataError):
        # Quoting none cannot write every text, and quoting auto does not read every one.
        is_same = False
    if is_same:
        return text
    raise UserError(
        f"--out {path}: as text its rows would not be read back as they are{_hardest(sample, frame, separator)}; "
        f"give --out {path.with_suffix('.parquet')} (what was classified is not classified again)"
    )


def _hardest(sample: "Sample", frame: pd.DataFrame, separator: str) -> str:
    """Return which row of a sample has the most of what text files have trouble with, and that, for a message."""
    names = {"a line break": "\r\n", f"the separator {separator!r}": separator, "a zero byte": "\0"}
    examples = sample.examples.only(frame.index.to_numpy())
    rows = zip(examples.ids, examples.sentence1, examples.sentence2 or examples.sentence1, strict=True)
    found = [
        [name for name, characters in names.items() if any(c in text for text in row for c in characters)]
        for row in rows
    ]
    number = max(range(len(found)), key=lambda row: len(found[row]), default=None)
    if number is None or not found[number]:
        return ""
    return f" (the one with the id '{examples.ids[number]}' holds {' and '.join(found[number])})"


def _is_same(read: Examples, sample: "Sample", frame: pd.DataFrame) -> bool:
    """Return whether rows as read are those of a sample's frame, in its order."""
    expected = sample.examples.only(frame.index.to_numpy())
    has_ids = columns_of(sample.task).id is not None
    return (
        len(read) == len(expected)
        and (not has_ids or read.ids == expected.ids)
        and (read.sentence1, read.sentence2) == (expected.sentence1, expected.sentence2)
        and read.labels is not None
        and expected.labels is not None
        and np.allclose(read.labels, expected.labels, rtol=1e-12, atol=0)
    )


def sample_frame(sample: "Sample") -> pd.DataFrame:
    """Return the rows under the task's own column names, with topic and confidence; the index is the row number."""
    task, examples, columns = sample.task, sample.examples, columns_of(sample.task)
    rows = np.concatenate([topic.rows for topic in sample.topics])
    assert examples.labels is not None, "training rows have labels"
    labels = examples.labels[rows]
    content: dict[str, Any] = {}
    if columns.id is not None:
        content[columns.id] = [examples.ids[row] for row in rows]
    content[columns.sentence1] = [examples.sentence1[row] for row in rows]
    if columns.sentence2 is not None and examples.sentence2 is not None:
        content[columns.sentence2] = [examples.sentence2[row] for row in rows]
    if task.classes is not None:
        content[columns.label] = [task.classes[int(label)] for label in labels]
    else:
        content[columns.label] = labels if task.kind.is_regression else labels.astype(np.int64)
    content[TOPIC_COLUMN] = np.repeat([topic.name for topic in sample.topics], [len(t.rows) for t in sample.topics])
    content[CONFIDENCE_COLUMN] = np.concatenate([topic.confidence for topic in sample.topics]).round(6)
    return pd.DataFrame(content, index=pd.Index(rows))


def _quoting(task: TaskSpec) -> dict[str, Any]:
    """Return how the text files of a task are quoted, as `DataFrame.to_csv` takes it."""
    if not isinstance(task.source, TableSource):
        return {}
    if task.source.quoting == "none":
        return {"quoting": csv.QUOTE_NONE}
    if task.source.escapechar is not None:
        # All are quoted: only inside quotes is a backslash read as an escape.
        return {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": task.source.escapechar}
    return {}


def about(sample: "Sample", config: SampleConfig) -> dict[str, Any]:
    """Return how the sample was drawn, and what each topic got, as JSON's values."""
    by_method = {
        "zero_shot": ("model", "hypothesis"),
        "embeddings": ("encoder", "pooling", "temperature"),
    }[config.method]
    return {
        "task": config.task.name,
        "rows": sample.num_rows,
        "rows_wanted": config.rows,
        "method": config.method,
        **{key: getattr(config, key) for key in by_method},
        "max_length": config.data.max_length,
        "model_fingerprint": sample.reader_fingerprint,
        "seed": config.seed,
        "data": {
            "origin": sample.examples.origin,
            "rows": len(sample.examples),
            "num_unlabeled": sample.examples.num_unlabeled,
            "fingerprint": sample.fingerprint,
        },
        "topics": {
            topic.name: {
                "share": topic.share,
                "quota": topic.quota,
                "rows": len(topic.rows),
                "short_of": topic.quota - len(topic.rows),
                "rows_of_this_topic": topic.num_likeliest,
                "lowest_confidence": round(float(topic.confidence[-1]), 6) if len(topic.rows) else None,
                "description": config.topics[topic.name].description,
            }
            for topic in sample.topics
        },
    }


def _separator(task: TaskSpec, suffix: str) -> str:
    match task.source:
        case None:
            return COURSE_SEPARATOR
        case TableSource(separator=str() as separator):
            return separator
    return SEPARATORS.get(suffix, ",")
