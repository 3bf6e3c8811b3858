"""Pareto sweeps for multitask BERT fine-tuning: quality against GPU memory, time and energy, on Ray.

In a notebook: `mtbert_ray.load(CHECKPOINT).predict({"sst": ["a fine film"]})`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtbert_ray.training.loaded_model import LoadedModel, load

__version__ = "0.1.0"
__all__ = ["LoadedModel", "__version__", "load"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Imported when asked for: torch takes seconds, and `report` runs where there is none.
    if name in ("load", "LoadedModel"):
        from mtbert_ray.training import loaded_model

        return getattr(loaded_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
