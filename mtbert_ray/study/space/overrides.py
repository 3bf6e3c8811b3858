"""Lays the options of the command line over a search space's content: `--set KEY=VALUE`, `--data DIR`, `--trials N`.

`fixed`, `search`, each of the `experiments` and each entry of `points_to_evaluate` are flattened to dotted keys first,
so that a key has one name however it was written.
"""

from collections.abc import Collection, Iterator, Sequence

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.places import KeyPath, Problems
from mtbert_ray.config.yaml_lines import read_value
from mtbert_ray.errors import ConfigError, did_you_mean
from mtbert_ray.mistakes import shown_briefly
from mtbert_ray.objective import Objective
from mtbert_ray.schema import key_text
from mtbert_ray.study.space.fields import field_of, is_section, leaf_keys
from mtbert_ray.study.space.parameters import YamlValue


def flatten_sections(content: dict[str, YamlValue], problems: Problems) -> None:
    """Turn nested keys of `fixed`, `search`, each experiment and each of `points_to_evaluate` into dotted ones."""
    for name in ("fixed", "search"):
        if name in content and not (content[name] is None and name == "fixed"):
            content[name] = _flat(content[name], (name,), problems)
    if isinstance(entries := content.get("points_to_evaluate"), list):
        content["points_to_evaluate"] = [
            _flat(entry, ("points_to_evaluate", str(index)), problems) if isinstance(entry, dict) else entry
            for index, entry in enumerate(entries)
        ]
    if "experiments" not in content:
        return
    experiments = content["experiments"]
    if not isinstance(experiments, dict) or not experiments:
        text = f"experiments has {shown_briefly(experiments)}; must be a mapping of names to a trial's keys"
        problems.add(("experiments",), text)
        experiments = {}
    # One without keys is what is fixed alone.
    content["experiments"] = {
        key_text(name): _flat({} if section is None else section, ("experiments", key_text(name)), problems)
        for name, section in experiments.items()
    }


def _flat(section: YamlValue, path: KeyPath, problems: Problems) -> dict[str, YamlValue]:
    name = ".".join(path)
    if not isinstance(section, dict):
        problems.add(path, f"{name} has {shown_briefly(section)}; must be a mapping of a trial's keys")
        return {}
    flat: dict[str, YamlValue] = {}
    for key, below, value in _leaves(section, "", path):
        if key in flat:
            problems.add(below, f"duplicate key '{name}.{key}', once dotted and once nested")
        flat[key] = value
    return flat


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
            value = read_value(value_text, option)
        except ConfigError as error:
            for text in error.problems:
                problems.add_option(option, text.removeprefix(f"{option}: "))
            continue
        head, _, rest = key.partition(".")
        if head == "fixed" and rest:
            fix(content, rest, value, option, problems)
        elif head == "search" and rest:
            _search(content, rest, value, option, problems)
        elif head == "experiments" and rest:
            _set_below(content, _path_in_experiments(rest, content), value, option, problems)
            flatten_sections(content, problems)
        elif head == "objectives" and rest:
            _set_below(content, _path_in_objectives(rest, content), value, option, problems)
        elif key == "search" and value == {} and not content.get("experiments"):
            problems.add_option(option, "search is empty; it needs at least one parameter")
        elif head in top_keys:
            _set_below(content, tuple(key.split(".")), value, option, problems)
            flatten_sections(content, problems)
        elif field_of(TrialConfig, key) is not None:
            fix(content, key, value, option, problems)
        else:
            near = did_you_mean(key, (*leaf_keys(TrialConfig), *TrialConfig.model_fields, *top_keys))
            problems.add_option(option, f"unknown key '{key}'{near}")


def fix(content: dict[str, YamlValue], key: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Give a TrialConfig key one value for the whole sweep: it leaves the search and every experiment."""
    for leaf, _, leaf_value in _leaves({key: value}, "", ()):
        content["fixed"] = {**(content.get("fixed") or {}), leaf: leaf_value}
        content.get("search", {}).pop(leaf, None)
        _take_out_of_experiments(content, leaf)
        problems.place_on_command_line(("fixed", leaf), option)


def _take_out_of_experiments(content: dict[str, YamlValue], leaf: str) -> None:
    for section in content.get("experiments", {}).values():
        section.pop(leaf, None)


def _path_in_experiments(dotted: str, content: dict[str, YamlValue]) -> KeyPath:
    """Return `("experiments", name)`, with the key below it where there is one. Names may hold dots themselves."""
    known = [name for name in content.get("experiments", {}) if f"{dotted}.".startswith(f"{name}.")]
    name = max(known, key=len, default=dotted.split(".")[0])
    key = dotted[len(name) + 1 :]
    return ("experiments", name, key) if key else ("experiments", name)


def _path_in_objectives(dotted: str, content: dict[str, YamlValue]) -> KeyPath:
    """Return `("objectives", name)`, with the key below it where there is one. A metric of a task has a dot itself."""
    known = content.get("objectives")
    names = [name for name in (known if isinstance(known, dict) else {}) if f"{dotted}.".startswith(f"{name}.")]
    name, _, key = dotted.rpartition(".")
    if names:
        name = max(map(key_text, names), key=len)
        key = dotted[len(name) + 1 :]
    elif key not in Objective.model_fields:
        name, key = dotted, ""
    return ("objectives", name, key) if key else ("objectives", name)


def _search(content: dict[str, YamlValue], dotted: str, value: YamlValue, option: str, problems: Problems) -> None:
    """Set a searched key's parameter, or one entry of it (`adapter.rank.choice`)."""
    parts = dotted.split(".")
    lengths = range(len(parts), 0, -1)
    length = next((n for n in lengths if field_of(TrialConfig, ".".join(parts[:n])) is not None), len(parts))
    key, below = ".".join(parts[:length]), tuple(parts[length:])
    content.setdefault("search", {})
    (content.get("fixed") or {}).pop(key, None)
    _take_out_of_experiments(content, key)
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
    for name, value in ((key_text(name), value) for name, value in section.items()):
        key = f"{prefix}{name}"
        if isinstance(value, dict) and is_section(TrialConfig, key):
            yield from _leaves(value, f"{key}.", (*path, name))
        else:
            yield key, (*path, name), value
