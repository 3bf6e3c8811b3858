"""Data sets of the Hugging Face Hub, through `datasets` (the `hub` extra), imported only when one is asked for."""

from mtbert_ray.data.examples import RawTable
from mtbert_ray.errors import DataError
from mtbert_ray.tasks import HubSource

UNLABELLED = -1.0
"""What GLUE and many others write for a label that is not given away."""


def read_hub(source: HubSource, *, task_name: str, split_name: str) -> RawTable:
    """Load one split of a data set by its name, or from a local folder that `datasets.load_dataset` accepts.

    Raises:
        DataError: `datasets` is not installed, or the split cannot be loaded.
    """
    origin = "/".join(filter(None, (source.dataset, source.subset))) + f" [{split_name}]"
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"{origin}: task '{task_name}' takes its rows from the Hugging Face Hub, which needs the package "
            "'datasets': pip install 'mtbert-ray[hub]'"
        ) from error
    try:
        loaded = datasets.load_dataset(source.dataset, source.subset, split=split_name)
    except Exception as error:  # Anything from a bad name to a lost connection; the library has no common base class.
        raise DataError(
            f"{origin}: cannot be loaded: {error}. Check source.dataset, source.subset and the names of the splits "
            f"of task '{task_name}', and the connection"
        ) from error
    return RawTable(
        frame=loaded.to_pandas(),
        columns=source.columns,
        origin=origin,
        columns_from=f"source.columns of task '{task_name}'",
        unlabelled=UNLABELLED,
    )
