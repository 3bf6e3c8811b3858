"""Lays the options of the command line over a search space's content: `--set KEY=VALUE`, `--data DIR`, `--trials N`.

`fixed` and `search` are flattened to dotted TrialConfig keys first, so that a key has one name however it was written.
"""

from collections.abc import Collection, Iterator, Sequence

from ruamel.yaml.error import YAMLError

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import did_you_mean
from mtbert_ray.tuning.space.fields import field_of, is_section, leaf_keys, shown
from mtbert_ray.tuning.space.file import KeyPath, Problems, read_value
from mtbert_ray.tuning.space.parameters import YamlValue

SECTIONS = ("fixed", "search")
"""The top-level keys that hold TrialConfig keys."""


def flatten_sections(content: dict[str, YamlValue], problems: Problems) -> None:
    """Turn the nested and dotted keys of `fixed` and `search` into dotted ones, in place."""
    for name in SECTIONS:
        section = content.get(name)
        if name not in content or (section is None and name == "fixed"):
            continue
        if not isinstance(section, dict):
            problems.add((name,), f"{name} has {shown(section)}; must be a mapping of a trial's keys")
            content[name] = {}
            continue
        flat: dict[str, YamlValue] = {}
        for key, path, value in _leaves(section, "", (name,)):
            if key in flat:
                problems.add(path, f"duplicate key '{name}.{key}', once dotted and once nested")
            flat[key] = value
            problems.move(path, (name, key))
        content[name] = flat


def apply_overrides(
    content: dict[str, YamlValue], overrides: Sequence[str], top_keys: Collection[str], problems: Problems
) -> None:
    """Lay each `KEY=VALUE` over the flattened content, in place; the later one wins."""
    for text in overrides:
        option = f"--set {text}"
        key, equals, value_text = text.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.add_option(option, "must be KEY=VALUE, as in --set epochs=3")
            continue
        try:
            value = read_value(value_text)
        except YAMLError as error:
            problems.add_option(option, f"{value_text!r} is not YAML: {getattr(error, 'problem', None) or error}")
            continue
        head, _, rest = key.partition(".")
        if head == "fixed" and rest:
            fix(content, rest, value, option, problems)
        elif head == "search" and rest:
            _search(content, rest, value, option, problems)
        elif head in top_keys:
            _set_below(content, tuple(key.split(".")), value, option, problems)
            flatten_sections(content, problems)
        elif field_of(TrialConfig, key) is not None:
            fix(content, key, value, option, problems)
        else:
            near = did_you_mean(key, (*leaf_keys(TrialConfig), *TrialConfig.model_fields, *top_keys))
            problems.add_option(option, f"unknown key '{key}'{near}")


def fix(content: dict[str, YamlValue], key: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Give a TrialConfig key one value for the whole sweep and take it out of the search."""
    for leaf, _, leaf_value in _leaves({key: value}, "", ()):
        content["fixed"] = {**(content.get("fixed") or {}), leaf: leaf_value}
        content.get("search", {}).pop(leaf, None)
        problems.place_on_command_line(("fixed", leaf), option)


def _search(content: dict[str, YamlValue], dotted: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Set a searched key's parameter, or one entry of it (`adapter.rank.choice`)."""
    parts = dotted.split(".")
    lengths = range(len(parts), 0, -1)
    length = next((n for n in lengths if field_of(TrialConfig, ".".join(parts[:n])) is not None), len(parts))
    key, below = ".".join(parts[:length]), tuple(parts[length:])
    content.setdefault("search", {})
    (content.get("fixed") or {}).pop(key, None)
    _set_below(content, ("search", key, *below), value, option, problems)


def _set_below(content: dict[str, YamlValue], path: KeyPath, value: YamlValue, option: str, problems: Problems) -> None:
    target = content
    for part in path[:-1]:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[path[-1]] = value
    problems.place_on_command_line(path, option)


def _leaves(
    section: dict[YamlValue, YamlValue], prefix: str, path: KeyPath
) -> Iterator[tuple[str, KeyPath, YamlValue]]:
    """Yield dotted key, path in the file and value of everything that is no group of keys itself."""
    for name, value in section.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and is_section(TrialConfig, key):
            yield from _leaves(value, f"{key}.", (*path, str(name)))
        else:
            yield key, (*path, str(name)), value
