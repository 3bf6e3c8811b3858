"""A trial's dev predictions in its best epoch, row by row, as a file that is kept with it.

It is `predictions/dev.npz` below the trial's folder, with `epoch`, `TASK.values`, `TASK.labels` and, where a metric
ranks probabilities, `TASK.probabilities`. Such a file may come from anywhere: nothing of it is executed, it is checked
before it is believed, and it takes no more memory than its size allows.
"""

import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mtbert_ray.errors import MAX_SHOWN, PredictionsError
from mtbert_ray.files import put_file, refuse_links

# R rows that have a label, C classes

PREDICTIONS_NAME = "predictions"
"""Folder of flat files below a trial's. The `predict` command puts its own there, too."""
DEV_PREDICTIONS_NAME = "dev.npz"
_EPOCH = "epoch"
_FIELDS = ("values", "labels", "probabilities")
_ENTRY = re.compile(rf"([a-z][a-z0-9_]*)\.({'|'.join(_FIELDS)})\.npy")
_NUMBERS = np.dtype("<f4")
_PROBABILITIES = (np.dtype("<f4"), np.dtype("<f2"))
_CLASSES = tuple(np.dtype(name) for name in ("u1", "<u2", "<u4"))
_MAX_ENTRIES = 10_000
_MAX_EPOCH = 10**9
_MAX_BYTES_SURELY = 2**28
"""Unpacked, of any file; only constant rows by the hundred million pack a real one better than `_MAX_PACKED`."""
_MAX_PACKED = 50
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAGIC = b"\x93NUMPY\x01\x00"
# Not numpy's own reader: that evaluates the header, and makes room for what it says before it looks for it.
_HEADER = re.compile(
    rb"\{'descr': '([|<][fiu][1248])', 'fortran_order': False, 'shape': \(((?:\d{1,12}(?:, ?\d{1,12})*,? ?)?)\), \} *\n"
)
_ZIP_END = struct.Struct("<4s4H2LH")
_BROKEN = (OSError, ValueError, RuntimeError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)
"""What the libraries raise of a damaged file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskPredictions:
    """A task's predictions and labels, of the dev rows that have a label, in the order of the rows."""

    values: NDArray[Any]
    """(R,) class indices in the smallest unsigned type that fits, or float32 numbers in label units."""
    labels: NDArray[Any]
    """(R,) of the same type."""
    probabilities: NDArray[Any] | None = None
    """(R, C) in float32, where a metric of the task ranks them. Half precision would tie those of a model that has
    learned little: an area under the curve of 0.45 became 0.5."""

    @classmethod
    def of(
        cls,
        values: NDArray[np.float64],
        labels: NDArray[np.float64],
        *,
        num_classes: int | None,
        probabilities: NDArray[np.float64] | None = None,
    ) -> Self:
        """Return what is kept of all N dev rows: values and labels (N,), labels NaN where there is none.

        A regression has no `num_classes`; `probabilities` are (N, C).
        """
        labeled = ~np.isnan(labels)
        dtype = _dtype_of(num_classes)
        return cls(
            values=values[labeled].astype(dtype),
            labels=labels[labeled].astype(dtype),
            probabilities=None if probabilities is None else probabilities[labeled].astype(_PROBABILITIES[0]),
        )

    @classmethod
    def bytes_of(cls, num_rows: int, *, num_classes: int | None, has_probabilities: bool) -> int:
        """Return what so many rows take before they are packed."""
        probabilities = (num_classes or 0) * _PROBABILITIES[0].itemsize if has_probabilities else 0
        return num_rows * (2 * _dtype_of(num_classes).itemsize + probabilities)

    @property
    def is_regression(self) -> bool:
        """Whether the values are numbers and not classes."""
        return self.values.dtype == _NUMBERS

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields that it has."""
        given = {name: getattr(self, name) for name in _FIELDS}
        return {name: array for name, array in given.items() if array is not None}


def _dtype_of(num_classes: int | None) -> np.dtype[Any]:
    return _NUMBERS if num_classes is None else np.min_scalar_type(num_classes - 1).newbyteorder("<")


def dev_predictions_file(folder: Path) -> Path:
    """Return the file of a trial's dev predictions, which need not be there."""
    return folder / PREDICTIONS_NAME / DEV_PREDICTIONS_NAME


def write_dev_predictions(folder: Path, tasks: Mapping[str, TaskPredictions], *, epoch: int) -> None:
    """Write the dev predictions of an epoch into a trial's folder, in place of those of an earlier one.

    A process that is killed at any moment leaves the old file or the new one.

    Raises:
        OSError: the disk refuses.
    """
    arrays: dict[str, NDArray[Any]] = {_EPOCH: np.array(epoch, dtype="<i8")}
    for task, kept in tasks.items():
        arrays |= {f"{task}.{name}": np.ascontiguousarray(array) for name, array in kept.arrays().items()}

    def write(new: Path) -> None:
        with new.open("wb") as file:  # numpy would add a suffix to a path.
            np.savez_compressed(file, allow_pickle=False, **arrays)

    path = dev_predictions_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    put_file(path, write)


def read_dev_predictions(folder: Path) -> tuple[int, dict[str, TaskPredictions]]:
    """Return the epoch of a trial's dev predictions, from 1, and task -> predictions.

    After a process was killed the epoch may be another one than the best of those that were reported: compare it.

    Raises:
        PredictionsError: there are none, or they are damaged.
        UserError: they stand behind a symbolic link.
    """
    path = dev_predictions_file(folder)
    refuse_links(folder, f"{PREDICTIONS_NAME}/{DEV_PREDICTIONS_NAME}")
    if not path.is_file():
        raise PredictionsError(f"{path}: no such file; trials of earlier versions kept no dev predictions")
    try:
        return _parsed(_unpacked(path))
    except _BROKEN as error:
        # zipfile has half of the file in some of its messages.
        raise PredictionsError(f"{path}: is damaged: {str(error)[:MAX_SHOWN]}") from error


def _unpacked(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file; checksums are compared, and more is not unpacked than a real file holds."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if archive.comment or len(entries) != _num_entries(path):
            raise ValueError("an array is missing, or something was added")
        allowed = max(_MAX_BYTES_SURELY, _MAX_PACKED * path.stat().st_size)
        if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > allowed:
            raise ValueError("it unpacks to more than dev predictions take")
        for entry in entries:
            if entry.filename in arrays or entry.compress_type not in _PACKINGS:
                raise ValueError(f"{entry.filename[:80]!r} is in it twice, or packed in another way")
            arrays[entry.filename] = _array(archive.read(entry))
    return arrays


def _num_entries(path: Path) -> int:
    """Return how many entries a zip file without a comment says that it has.

    zipfile does not look: a damaged length in the list of them, which has no checksum, would hide those behind it.
    """
    with path.open("rb") as file:
        file.seek(-_ZIP_END.size, os.SEEK_END)
        return int(_ZIP_END.unpack(file.read())[4])


def _array(content: bytes) -> NDArray[Any]:
    """Return the array of an npy file, as numpy writes one of numbers."""
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    header = _HEADER.fullmatch(content[start:end])
    if not content.startswith(_MAGIC) or header is None:
        raise ValueError("it has arrays of another format")
    shape = tuple(int(size) for size in header[2].decode().replace(",", " ").split())
    dtype = np.dtype(header[1].decode())
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError("an array is not what it says of itself")
    return np.frombuffer(memoryview(content)[end:], dtype=dtype).reshape(shape)


def _parsed(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, dict[str, TaskPredictions]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    epoch = None
    for name, array in arrays.items():
        if name == f"{_EPOCH}.npy":
            epoch = array
        elif (match := _ENTRY.fullmatch(name)) is not None:
            found.setdefault(match[1], {})[match[2]] = array
        else:
            raise ValueError(f"{name[:80]!r} is nothing of dev predictions")
    if epoch is None or epoch.shape != () or epoch.dtype.kind not in "iu" or not 1 <= int(epoch) <= _MAX_EPOCH:
        raise ValueError("it has no epoch")
    if lacking := [task for task, fields in found.items() if not {"values", "labels"} <= fields.keys()]:
        raise ValueError(f"{lacking[0]}: it has not both values and labels")
    tasks = {task: TaskPredictions(**fields) for task, fields in found.items()}
    for task, kept in tasks.items():
        if (problem := _problem_with(kept)) is not None:
            raise ValueError(f"{task}: {problem}")
    return int(epoch), tasks


def _problem_with(kept: TaskPredictions) -> str | None:
    values, labels, probabilities_RC = kept.values, kept.labels, kept.probabilities
    if values.dtype not in (*_CLASSES, _NUMBERS) or labels.dtype != values.dtype:
        return "values and labels are neither classes nor numbers"
    if values.ndim != 1 or labels.shape != values.shape:
        return "there is not one label for each value"
    if kept.is_regression and not (np.isfinite(values).all() and np.isfinite(labels).all()):
        return "it has numbers that are not finite"
    if probabilities_RC is None:
        return None
    if (
        probabilities_RC.dtype not in _PROBABILITIES
        or probabilities_RC.ndim != 2
        or len(probabilities_RC) != len(values)
    ):
        return "there is not one row of probabilities for each value"
    if not ((probabilities_RC >= 0) & (probabilities_RC <= 1)).all():  # NaN is neither.
        return "it has probabilities that are none"
    num_classes = probabilities_RC.shape[1]
    if kept.is_regression or max(values.max(initial=0), labels.max(initial=0)) >= num_classes:
        return "there is not a probability for each class"
    return None
