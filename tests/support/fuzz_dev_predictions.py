"""Damaged dev predictions: read as they were written, or refused in a line."""

import random
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from damage import BYTES, try_each

from mtbert_ray.errors import PredictionsError
from mtbert_ray.scoring.dev_predictions import (
    TaskPredictions,
    dev_predictions_file,
    read_dev_predictions,
    write_dev_predictions,
)

_DTYPES = ("u1", "<u2", "<u4", "<f4", "<f2", "<f8", "<i8", "S3", "U3", "?", "<c8", "O")
_NUMBERS = (float("nan"), float("inf"), -1.0, 1e30, 2.0)


def run(count: int, seed: int, folder: Path, failures: list[str] | None = None) -> Counter[str]:
    """Try so many files; return how they came out, as `try_each` does."""
    draws = np.random.default_rng(0)
    classes, numbers = draws.integers(2, size=(2, 60)).astype(float), draws.normal(2.5, 1.0, size=(2, 60))
    whole = {
        "quora": TaskPredictions.of(*classes, num_classes=2, probabilities=draws.dirichlet([1.0, 1.0], size=60)),
        "sts": TaskPredictions.of(*numbers, num_classes=None),
    }
    write_dev_predictions(folder, whole, epoch=2)
    path = dev_predictions_file(folder)
    content = path.read_bytes()

    def attempt(rng: random.Random, number: int) -> str:
        made_up = rng.random() < 0.5
        if made_up:
            _make_up(rng, path, whole)
        else:
            path.write_bytes(rng.choice(BYTES)(rng, content))
        kind = "made up" if made_up else "bytes"
        try:
            epoch, tasks = read_dev_predictions(folder)
        except PredictionsError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            return f"{kind}: refused"
        if made_up:
            assert epoch >= 1 and all(_makes_sense(task) for task in tasks.values())
            return f"{kind}: accepted, and makes sense"
        assert epoch == 2 and tasks.keys() == whole.keys()
        for name, task in tasks.items():
            assert all(np.array_equal(array, whole[name].arrays()[field]) for field, array in task.arrays().items())
        return f"{kind}: accepted, as before"

    return try_each("dev predictions", count, seed, attempt, failures=failures)


def _make_up(rng: random.Random, path: Path, whole: dict[str, TaskPredictions]) -> None:
    """Write a whole file, with right checksums, of one or two things that do not belong where they are."""
    arrays = {f"{name}.{field}": array for name, task in whole.items() for field, array in task.arrays().items()}
    arrays["epoch"] = np.array(2)
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(list(arrays))
        array = arrays[name]
        match rng.randrange(7):
            case 0:
                del arrays[name]
            case 1:
                arrays[rng.choice(["../x", "quora", "sts.values.values", "new.values", "Q.labels", ""])] = array
            case 2:
                arrays[name] = array.astype(rng.choice(_DTYPES))
            case 3:
                arrays[name] = array[..., None] if rng.random() < 0.5 else np.asfortranarray([array, array])
            case 4:
                arrays[name] = array.reshape(-1)[: rng.randrange(3)]
            case 5:
                with np.errstate(all="ignore"):
                    arrays[name] = np.full_like(array, rng.choice(_NUMBERS)) if array.dtype.kind == "f" else array + 200
            case _:
                arrays[name] = arrays[rng.choice(list(arrays))]
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    if rng.random() < 0.1:
        with zipfile.ZipFile(path, "a", compression=rng.choice([zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])) as archive:
            archive.writestr("more.values.npy", b"x" * 100)


def _makes_sense(task: TaskPredictions) -> bool:
    values, labels, probabilities = task.values, task.labels, task.probabilities
    fits = values.ndim == 1 and values.shape == labels.shape and values.dtype == labels.dtype
    return (
        fits
        and bool(np.isfinite(values).all() and np.isfinite(labels).all())
        and (
            probabilities is None
            or (
                probabilities.shape[:1] == values.shape
                and bool(((probabilities >= 0) & (probabilities <= 1)).all())
                and max(values.max(initial=0), labels.max(initial=0)) < probabilities.shape[1]
            )
        )
    )
