"""Names of earlier versions, read as today's: of keys, metrics and directions, with one warning each."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_METRICS = {
    "gpu_utilisation_mean": "gpu_utilization_mean",
    "gpu_utilisation_peak": "gpu_utilization_peak",
}
_ADAPTER_KEY = {"adapter.initialisation": "adapter.initialization"}
_TOP_KEYS = {"start_with": "points_to_evaluate", "learn_from": "warm_start_from", **_ADAPTER_KEY}
KEYS = {
    **_TOP_KEYS,
    **_METRICS,
    "without_gpu": "fallback",
    "outlook": "projection",
    "initialisation": "initialization",
}
"""Of search spaces, trials and journals; where each is read, `current_key` and `current_event` know."""
HALVING_KEYS = {"grace": "grace_period", "eta": "reduction_factor", "keep": "keep_quantile"}
"""Below `halving` alone: elsewhere these words mean something else."""
DIRECTIONS = {"maximise": "maximize", "minimise": "minimize"}
_ANY = tuple(name.encode() for name in (*KEYS, *DIRECTIONS, "halving"))
_warned: set[str] = set()


def mentions_old_names(text: bytes) -> bool:
    """Whether a line of a journal may hold one of them; most hold none, which is quickly known."""
    return any(name in text for name in _ANY)


def current_event(event: Mapping[str, Any]) -> Any:  # noqa: ANN401  # any JSON
    """Return an event of a journal, as JSON has it, with its names as they are today."""
    return _current(event, (str(event.get("event")),))


def _current(content: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    if isinstance(content, list):
        return [_current(item, path) for item in content]
    if isinstance(content, Mapping):
        names = {key: _key_of_event(path, key) for key in content}
        return {names[key]: _current(value, (*path, names[key])) for key, value in content.items()}
    if not isinstance(content, str) or path[0] != "sweep_started":
        return content
    if path[1:] == ("hyperparameters",):
        return warned(content, _ADAPTER_KEY[content]) if content in _ADAPTER_KEY else content
    return current_value(path[2:] if path[1:2] == ("space",) else path[1:], content)


def _key_of_event(path: Sequence[str], key: str) -> str:
    names: dict[str, str] = {}
    match path:
        case ("sweep_started", "space", *below):
            return current_key(below, key)
        case ("sweep_started", "objectives", *_):
            return current_key(path[1:], key)
        case ("probe",):
            names = {"outlook": "projection"}
        case ("probe" | "epoch", "metrics" | "projection"):
            names = _METRICS
        case ("trial_started", "hyperparameters"):
            names = _ADAPTER_KEY
        case ("trial_started", "config", "adapter"):
            names = {"initialisation": "initialization"}
    return warned(key, names[key]) if key in names else key


def current_direction(value: object) -> object:
    """Return a direction as it is written today, and anything else as it is."""
    return warned(value, DIRECTIONS[value]) if isinstance(value, str) and value in DIRECTIONS else value


def current_key(above: Sequence[str], key: str) -> str:
    """Return what a key of a search space's or a trial's YAML is called today; it may be dotted.

    The keys above it decide: elsewhere the same word may be a user's own, as the name of a task.
    """
    match above:
        case ():
            names = _TOP_KEYS
        case ("halving",):
            names = HALVING_KEYS
        case ("objectives",):
            names = _METRICS
        case ("objectives", *_):
            names = {"without_gpu": "fallback"}
        case (*_, "adapter"):
            names = {"initialisation": "initialization"}
        case _:
            names = _ADAPTER_KEY
    return warned(key, names[key]) if key in names else key


def current_value(path: Sequence[str], value: str) -> str:
    """Return a value of an objective, of YAML, as it is called today."""
    match path:
        case ("objectives", *_, "direction"):
            names = DIRECTIONS
        case ("objectives", *_, "fallback"):
            names = _METRICS
        case _:
            return value
    return warned(value, names[value]) if value in names else value


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
