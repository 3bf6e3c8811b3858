"""Damaged data files: refused in a line, or read with no more rows lost or changed than lines of the file were.

A text file has no checksum, so a changed cell is another cell. But damage to one line must never cost others.
"""

import csv
import io
import random
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
from damage import BYTES, LINES, cut, try_each

from mtbert_ray.config import DataConfig
from mtbert_ray.data.sources import load_examples, load_file
from mtbert_ray.errors import UserError
from mtbert_ray.tasks import KNOWN_TASKS, TaskSpec

TEXTS = ("A film", 'He said "no"', "a, b; c", "größe 梯度 🙂", "it's", "1,5", "two\nlines", "tab\there", " edges ", "x")
NUM_ROWS = 120
FORMATS = ("csv", "quoted.csv", "semicolon.csv", "tsv", "course", "parquet")


def _rows(kind: str) -> list[tuple[str, str, str, str]]:
    plain = kind in ("tsv", "course")
    texts = [" ".join(text.split()).replace('"', "") if plain else text for text in TEXTS]
    return [
        (f"r{n:03}", f"{texts[n % len(texts)]} {n}", f"{texts[(n * 3) % len(texts)]} {n}", str(n % 2))
        for n in range(NUM_ROWS)
    ]


def _content(kind: str) -> bytes:
    header, rows = ("id", "sentence1", "sentence2", "is_duplicate"), _rows(kind)
    if kind == "parquet":
        buffer = io.BytesIO()
        pd.DataFrame(rows, columns=header).to_parquet(buffer)
        return buffer.getvalue()
    text = io.StringIO()
    if kind == "course":
        lines = ["\t".join(("", *header)), *("\t".join((str(n), *row)) for n, row in enumerate(rows))]
        return "\n".join([*lines, ""]).encode()
    separator = {"semicolon.csv": ";", "tsv": "\t"}.get(kind, ",")
    quoting = csv.QUOTE_ALL if kind == "quoted.csv" else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue().encode()


def _read(kind: str, path: Path) -> Counter[tuple]:
    if kind == "course":
        config = DataConfig(source="course", directory=str(path.parent))
        examples = load_examples(KNOWN_TASKS["quora"], config, "train", seed=0)
    else:
        columns = {"id": "id", "sentence1": "sentence1", "sentence2": "sentence2", "label": "is_duplicate"}
        source = {"train": str(path), "dev": str(path), "columns": columns}
        if kind == "semicolon.csv":
            source["separator"] = ";"
        task = TaskSpec.model_validate(
            {"name": "dup", "kind": "pair_classification", "classes": ["0", "1"], "source": source}
        )
        examples = load_examples(task, DataConfig(), "train", seed=0)
        load_file(task, path)
    assert examples is not None
    assert len(examples.ids) == len(examples.sentence1) == len(examples.sentence2) == len(examples.labels)
    left_out = examples.rows_read.unlabeled.count
    rows = zip(examples.ids, examples.sentence1, examples.sentence2, examples.labels.tolist(), strict=True)
    return Counter(rows) + Counter({("left out", n): 1 for n in range(left_out)})


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many files; return how they came out, as `try_each` does."""
    contents = {kind: _content(kind) for kind in FORMATS}
    paths = {kind: folder / f"rows.{kind.rpartition('.')[2]}" for kind in FORMATS} | {
        "course": folder / "quora-train.csv"
    }
    right = {}
    for kind, content in contents.items():
        paths[kind].write_bytes(content)
        right[kind] = _read(kind, paths[kind])
        assert right[kind].total() == NUM_ROWS

    def attempt(rng: random.Random, number: int) -> str:
        kind = FORMATS[number % len(FORMATS)]
        # Other damage to Parquet is for its own library to find.
        damaged = cut(rng, contents[kind]) if kind == "parquet" else rng.choice(BYTES + LINES)(rng, contents[kind])
        paths[kind].write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f"{kind}: {_try(kind, paths[kind], contents[kind], damaged, right[kind])}"

    return try_each("data files", count, seed, attempt, failures=failures)


def _try(kind: str, path: Path, whole: bytes, damaged: bytes, right: Counter) -> str:
    try:
        rows = _read(kind, path)
    except UserError as error:
        text = str(error)
        assert text and "Traceback" not in text and len(text) < 10_000, text
        return "refused"
    before, now = whole.split(b"\n"), damaged.split(b"\n")
    num_changed = max((Counter(old) - Counter(new)).total() for old, new in ((before, now), (now, before)))
    if len(before) == len(now):  # Of two lines that are swapped both are still there.
        num_changed = sum(old != new for old, new in zip(before, now, strict=True))
    lost, new = (right - rows).total(), (rows - right).total()
    # A line that is new inside a text of several lines changes that row, and what is left of the text may be a row too.
    is_in_bounds = lost <= num_changed and new <= num_changed + max(0, len(now) - len(before))
    assert is_in_bounds, f"{lost} rows lost or changed, {new} new, where {num_changed} lines are"
    return "accepted, the same" if not lost + new else "accepted, changed where the file is"
