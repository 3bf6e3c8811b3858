"""Data sets of the Hugging Face Hub, through `datasets` (the `hub` extra), imported only when one is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd

from mtbert_ray.data.labels import is_boolean, loose_name_of, name_of, shown_names
from mtbert_ray.data.table import Table, frame_of
from mtbert_ray.errors import DataError
from mtbert_ray.task_source import HubSource
from mtbert_ray.tasks import TaskSpec

if TYPE_CHECKING:
    from datasets import Dataset

_OF_CONNECTIONS = ("Connect", "Timeout", "Offline", "SSLError", "ProxyError")
"""In the names of errors without a network, whichever library opens the connection."""


def read_hub(source: HubSource, *, task: TaskSpec, split_name: str) -> Table:
    """Load one split of a data set by its name, or from a local folder that `datasets.load_dataset` accepts.

    Labels of a ClassLabel feature become their names, or the task's other names for them.

    Raises:
        DataError: `datasets` is not installed, the split cannot be loaded, or its class names and the task's are
            partly the same.
    """
    origin = "/".join(filter(None, (source.dataset, source.subset))) + f" [{split_name}]"
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{origin}: task '{task.name}' takes its rows from the Hugging Face Hub, which needs the package "
            "'datasets': pip install 'mtbert-ray[hub]'"
        ) from error
    try:
        with _quietly():
            loaded = datasets.load_dataset(source.dataset, source.subset, split=split_name)
    except Exception as error:  # Anything from a bad name to a lost connection; the library has no common base class.
        raise DataError(f"{origin}: cannot be loaded: {_explained(error, task.name)}") from error
    names = _class_names(loaded, source.columns.label)
    frame = frame_of(loaded.with_format("arrow")[:])
    if names is not None and task.classes is not None:
        label = source.columns.label
        frame[label] = _named(frame[label], names, task.classes, where=f"{origin}: column '{label}'", task=task.name)
    return Table(
        frame=frame,
        columns=source.columns,
        origin=origin,
        columns_from=f"source.columns of task '{task.name}'",
        class_names=names,
    )


def _class_names(loaded: "Dataset", label: str) -> tuple[str, ...] | None:
    """Return the names of the label column's classes in their order, or None where the data set has none."""
    names = getattr(loaded.features.get(label), "names", None)
    return None if names is None else tuple(name_of(str(name)) for name in names)


def _named(numbers: pd.Series, names: tuple[str, ...], classes: tuple[str, ...], *, where: str, task: str) -> pd.Series:
    """Return names of the task's classes for the numbers of a ClassLabel; -1 and null are no label.

    The data set's own names count where those that occur are all among the classes. Classes that have nothing in common
    with its names and are as many are other names for the same numbers.

    Raises:
        DataError: it is neither.
    """
    own = dict(enumerate(names))
    occurring = {own[number] for number in numbers.dropna().unique() if number in own}
    known = {_key(name) for name in classes}
    if all(_key(name) in known for name in occurring):
        return numbers.map(own).astype(object)
    common = {loose_name_of(name) for name in names} & {loose_name_of(name) for name in classes}
    if not common and len(names) == len(classes):
        return numbers.map(dict(enumerate(classes))).astype(object)
    strangers = sorted(name for name in occurring if _key(name) not in known)
    raise DataError(
        f"{where} holds {shown_names(tuple(strangers))}, which classes of task '{task}' lacks. The data set's classes "
        f"are {shown_names(names)}; the task's are {shown_names(classes)}. Write the data set's names, in any order; "
        f"or leave classes out; or rename all of its {len(names)} classes, in its order, with none of its own names"
    )


def _key(name: str) -> str:
    """Return the form in which names of classes are compared."""
    return name.casefold() if is_boolean(name) else name_of(name)


def _explained(error: BaseException, task_name: str) -> str:
    """Return the error's message, with that of the error which caused all others, and what to check."""
    causes = list(_causes(error))
    texts = dict.fromkeys(" ".join(str(cause).split()).rstrip(".") for cause in (causes[0], causes[-1]))
    text = ": ".join(filter(None, texts)) or type(causes[-1]).__name__
    is_of_connection = any(word in type(cause).__name__ for cause in causes for word in _OF_CONNECTIONS)
    connection = "the connection, and " if is_of_connection else ""
    return f"{text}. Check {connection}source.dataset, source.subset and the names of the splits of task '{task_name}'"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, the innermost last."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide the progress bars and warnings of `datasets` during one load."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    level, shows_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            enable_progress_bars()
