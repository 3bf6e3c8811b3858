"""Pareto sweeps for multitask BERT fine-tuning: quality against GPU memory, time and energy, on Ray.

What is named here is the public API (docs/api.md). Each name is imported when it is first used: torch and Ray take
seconds, and reports need neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtbert_ray.config import TrialConfig
    from mtbert_ray.journal import read_journal
    from mtbert_ray.metrics import Objective
    from mtbert_ray.ray_backend.launch import resume_sweep, run_sweep  # type: ignore[attr-defined, unused-ignore]
    from mtbert_ray.ray_backend.scheduler import ParetoScheduler
    from mtbert_ray.reporting.loaded_report import Report, load_report
    from mtbert_ray.study.pruning.rungs import HalvingConfig
    from mtbert_ray.study.space import SearchSpace
    from mtbert_ray.training.loaded_model import LoadedModel, load

__version__ = "0.1.0"
__all__ = [
    "HalvingConfig",
    "LoadedModel",
    "Objective",
    "ParetoScheduler",
    "Report",
    "SearchSpace",
    "TrialConfig",
    "__version__",
    "load",
    "load_report",
    "read_journal",
    "resume_sweep",
    "run_sweep",
]

_HOMES = {
    "HalvingConfig": "mtbert_ray.study.pruning.rungs",
    "LoadedModel": "mtbert_ray.training.loaded_model",
    "Objective": "mtbert_ray.metrics",
    "ParetoScheduler": "mtbert_ray.ray_backend.scheduler",
    "Report": "mtbert_ray.reporting.loaded_report",
    "SearchSpace": "mtbert_ray.study.space",
    "TrialConfig": "mtbert_ray.config",
    "load": "mtbert_ray.training.loaded_model",
    "load_report": "mtbert_ray.reporting.loaded_report",
    "read_journal": "mtbert_ray.journal",
    "resume_sweep": "mtbert_ray.ray_backend.launch",
    "run_sweep": "mtbert_ray.ray_backend.launch",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
