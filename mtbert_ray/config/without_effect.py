"""Which settings somebody changed that change nothing, as an adapter's rank where there is no adapter."""

from collections.abc import Collection, Iterable

from mtbert_ray.config.nesting import dotted
from mtbert_ray.config.trial import TrialConfig


def without_effect(config: TrialConfig) -> dict[str, str]:
    """Return dotted key -> why its value, which is not the default, has no effect."""
    chosen, defaults = (dotted(each.model_dump(mode="json")) for each in (config, TrialConfig()))
    changed = {key for key, value in chosen.items() if value != defaults.get(key)}
    found: dict[str, str] = {}
    adapter, smart = config.adapter, config.smart
    if adapter.kind == "none":
        found |= _below("adapter", changed, "adapter.kind is none")
    elif adapter.kind == "vera":
        found |= _of(("adapter.alpha", "adapter.rslora"), changed, "VeRA learns its scales")
    if not smart.tasks:
        found |= _below("smart", changed, "smart.tasks names no task")
    elif smart.steps == 0:
        found |= _of(("smart.step_size", "smart.tolerance"), changed, "smart.steps is 0")
    if config.learning_rate_scaling == "none":
        found |= _of(("base_batch_size",), changed, "learning_rate_scaling is none")
    if config.profile.steps == 0:
        found |= _below("profile", changed, "profile.steps is 0")
    return found


def never_with_effect(configs: Iterable[TrialConfig]) -> dict[str, str]:
    """Return dotted key -> why, for the keys that are without effect in every one of these configurations."""
    per_config = [without_effect(config) for config in configs]
    shared = set.intersection(*(set(found) for found in per_config)) if per_config else set()
    return {key: reason for key, reason in per_config[0].items() if key in shared} if per_config else {}


def _below(section: str, changed: Collection[str], reason: str) -> dict[str, str]:
    return {key: reason for key in sorted(changed) if key.startswith(f"{section}.")}


def _of(keys: Collection[str], changed: Collection[str], reason: str) -> dict[str, str]:
    return {key: reason for key in keys if key in changed}
