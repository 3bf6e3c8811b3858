"""Names of earlier versions, read as today's: of keys, metrics and directions, with one warning each."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

KEYS = {
    "start_with": "points_to_evaluate",
    "learn_from": "warm_start_from",
    "without_gpu": "fallback",
    "outlook": "projection",
    "initialisation": "initialization",
    "adapter.initialisation": "adapter.initialization",
    "gpu_utilisation_mean": "gpu_utilization_mean",
    "gpu_utilisation_peak": "gpu_utilization_peak",
}
"""Of search spaces, trials and journals, wherever they stand."""
HALVING_KEYS = {"grace": "grace_period", "eta": "reduction_factor", "keep": "keep_quantile"}
"""Below `halving` alone: elsewhere these words mean something else."""
DIRECTIONS = {"maximise": "maximize", "minimise": "minimize"}
_ANY = tuple(name.encode() for name in (*KEYS, *DIRECTIONS, "halving"))
_warned: set[str] = set()


def mentions_old_names(text: bytes) -> bool:
    """Whether a line of a journal may hold one of them; most hold none, which this tells quickly."""
    return any(name in text for name in _ANY)


def current_name(key: str, above: str = "") -> str:
    """Return what a key is called today; it is `above`'s own, as `halving`'s."""
    name = HALVING_KEYS.get(key) if above == "halving" or key.startswith("halving.") else KEYS.get(key)
    return key if name is None else warned(key, name)


def with_current_names(content: Any, above: str = "") -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return content of JSON with all keys and directions as they are called today."""
    if isinstance(content, list):
        return [with_current_names(item, above) for item in content]
    if isinstance(content, dict):
        return {current_name(key, above): with_current_names(value, key) for key, value in content.items()}
    if isinstance(content, str) and above in ("direction", "fallback", "without_gpu"):
        return current_direction(KEYS.get(content, content))
    return content


def current_direction(value: object) -> object:
    """Return a direction as it is written today, and anything else as it is."""
    return warned(value, DIRECTIONS[value]) if isinstance(value, str) and value in DIRECTIONS else value


def renaming(names: Mapping[str, str]) -> Callable[[Any], Any]:
    """Return what a model takes its content through before it validates it: old keys -> today's."""

    def renamed(content: Any) -> Any:  # noqa: ANN401
        if not isinstance(content, Mapping) or not names.keys() & content.keys():
            return content
        return {warned(key, names[key]) if key in names else key: value for key, value in content.items()}

    return renamed


def warned(old: str, new: str) -> str:
    """Return the new name after warning of the old one, once a process."""
    if old not in _warned:
        _warned.add(old)
        warnings.warn(f"{old} is called {new} now; the old name is still read", FutureWarning, stacklevel=2)
    return new
