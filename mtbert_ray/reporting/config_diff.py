"""The config diff: the hyperparameters of the paper's experiments (published.yaml), and how a trial's config differs.

All keys are compared that can change a result; those of an adapter or of SMART only where both runs have one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any

from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig, dotted, nest
from mtbert_ray.reporting.wording import config_value, joined
from mtbert_ray.tasks import KNOWN_TASKS

_NOT_COMPARED = ("experiment", "seed", "data.directory")
_GROUPS_NOT_COMPARED = ("resources.", "profile.")
_COMPARED_AFTER_ALL = "resources.num_workers"
"""A worker draws its own dropout masks and takes its own time."""
_TRAIN_FILE = "data.train_files."

_Comparable = dict[str, Any]
"""Dotted key -> a readable value that is equal where two runs are configured alike."""


@dataclass(frozen=True, kw_only=True)
class PublishedSample:
    """How the paper's sample of Quora rows was drawn."""

    rows: int
    method: str
    model: str
    shares: dict[str, float]
    """Topic -> its share of the rows."""


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """The config of one experiment of one table."""

    table: int
    config: TrialConfig
    """As in the search space of the table here; `data.directory` is a placeholder."""
    stated: frozenset[str]
    """The dotted keys whose values the paper states; all others are assumed."""
    sample: PublishedSample
    """The rows of `data.train_files`, where it names a file."""

    def named(self, key: str, value: str) -> str:
        """Return where a key's value comes from: "the paper: 10", or "table 6 here: 10, assumed"."""
        return f"the paper: {value}" if key in self.stated else f"table {self.table} here: {value}, assumed"


def published_experiments(table: int) -> tuple[str, ...]:
    """Return the names of a table's experiments, in its order."""
    return tuple(_published()["tables"][table]["experiments"])


@cache
def published_config(table: int, experiment: str) -> PublishedConfig:
    """Return the config of an experiment."""
    content = _published()
    of_table = content["tables"][table]
    values: dict[str, Any] = {"experiment": experiment, "data.directory": "data"}
    stated: set[str] = set()
    for layer in (content["everywhere"], of_table, of_table["experiments"][experiment]):
        new_stated, new_assumed = (dotted(nest(layer.get(kind, {}))) for kind in ("stated", "assumed"))
        values |= new_stated | new_assumed
        stated = (stated - new_assumed.keys()) | new_stated.keys()
    return PublishedConfig(
        table=table,
        config=TrialConfig.model_validate(nest(values)),
        stated=frozenset(stated),
        sample=PublishedSample(**content["sample"]),
    )


@cache
def _published() -> dict[str, Any]:
    text = (files("mtbert_ray.reporting") / "published.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = YAML(typ="safe").load(text)
    return content


def config_diff(config: Mapping[str, Any], published: PublishedConfig) -> tuple[str, ...]:
    """Return the differences between a trial's config and the paper's, each as "epochs 1 (the paper: 10)".

    What the paper leaves open is compared with the search space of its table here: "epochs 1 (table 6 here: 10,
    assumed)". Keys that the config of an old journal lacks have their defaults.
    """
    ours = {**_defaults(), **_comparable(config)}
    papers = _comparable(published.config.model_dump(mode="json"))
    keys = [key for key in {**papers, **ours} if _is_compared(key) and _has_effect(key, ours, papers)]
    found = [
        _difference(key, ours.get(key), papers.get(key), published) for key in keys if ours.get(key) != papers.get(key)
    ]
    for task, file in config["data"]["train_files"].items():
        if f"{_TRAIN_FILE}{task}" in papers:
            found += _sample_differences(task, PurePath(file), published)
    return tuple(found)


@cache
def _defaults() -> _Comparable:
    return _comparable(TrialConfig().model_dump(mode="json"))


def _comparable(config: Mapping[str, Any]) -> _Comparable:
    """Flatten a config, with the same value for what has the same meaning."""
    data = config.get("data", {})
    meanings: dict[str, Callable[[Any], object]] = {
        "encoder": _encoder,
        "hidden_layers": _hidden_layers,
        "tasks": lambda tasks: joined([_task(task) for task in tasks]),
        "init_from": lambda path: "the encoder's own weights" if path is None else "the checkpoint of a first stage",
    }
    values = {key: meanings[key](value) if key in meanings else value for key, value in config.items()}
    values["data"] = {
        **data,
        "max_train_rows": _row_limit(data.get("max_train_rows")),
        "max_dev_rows": _row_limit(data.get("max_dev_rows")),
        "train_files": dict.fromkeys(data.get("train_files", {}), "rows from a file"),
    }
    return dotted(values)


def _is_compared(key: str) -> bool:
    left_out = key in _NOT_COMPARED or key.startswith(_GROUPS_NOT_COMPARED)
    return key == _COMPARED_AFTER_ALL or not left_out


def _has_effect(key: str, ours: _Comparable, papers: _Comparable) -> bool:
    """Whether a key has an effect in both runs, or turns an adapter or SMART on."""
    if key.startswith("adapter.") and key != "adapter.kind":
        return "none" not in (ours["adapter.kind"], papers["adapter.kind"])
    if key.startswith("smart.") and key != "smart.tasks":
        return bool(ours["smart.tasks"] and papers["smart.tasks"])
    return key != "base_batch_size" or ours["learning_rate_scaling"] != "none"


def _difference(key: str, ours: object, papers: object, published: PublishedConfig) -> str:
    if key.startswith(_TRAIN_FILE):
        task = key.removeprefix(_TRAIN_FILE)
        if ours is None:
            rows = f"{published.sample.rows:,} by topic"
            return f"rows of {task} not sampled by topic ({published.named(key, rows)})"
        return f"rows of {task} from a file ({published.named(key, 'all of the task')})"
    if key == "data.source" and ours == "toy":
        return f"the generated toy corpus ({published.named(key, 'SST, Quora and STS')})"
    name = {"data.max_train_rows": "training rows", "data.max_dev_rows": "dev rows"}.get(key, key)
    return f"{name} {_readable(ours)} ({published.named(key, _readable(papers))})"


def _readable(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return joined([str(part) for part in value]) or "none"
    return config_value(value)


def _encoder(name: str) -> str:
    """Return a folder's name, and the Hub's name of BERT without its owner."""
    return PurePath(name).name if PurePath(name).is_absolute() else name.removeprefix("google-bert/")


def _hidden_layers(layers: int | Mapping[str, int]) -> int | str:
    if not isinstance(layers, Mapping):
        return layers
    depths = set(layers.values())
    return depths.pop() if len(depths) == 1 else joined([f"{layers[task]} of {task}" for task in sorted(layers)])


def _task(task: Mapping[str, Any]) -> str:
    name = str(task["name"])
    known = KNOWN_TASKS[name].model_dump(mode="json") if name in KNOWN_TASKS else {}
    return name if {**known, **task} == known else f"{name} (of its own kind or files)"


def _row_limit(limit: int | Mapping[str, int] | None) -> str:
    match limit:
        case None:
            return "all"
        case Mapping():
            return f"at most {joined([f'{rows:,} of {task}' for task, rows in limit.items()])}"
    return f"at most {limit:,} a task"


def _sample_differences(task: str, file: PurePath, published: PublishedConfig) -> list[str]:
    """Return how a file of training rows differs from the paper's sample, from the JSON file next to it."""
    key, paper = f"{_TRAIN_FILE}{task}", published.sample
    about = _about(Path(file).with_suffix(".json"))
    if about is None:
        drawn = published.named(key, f"by topic, {paper.method}")
        return [f"a sample of {task} without the {file.stem}.json that describes it ({drawn})"]
    expected: dict[str, object] = {"rows": paper.rows, "method": paper.method}
    if about.get("method") == paper.method:
        expected["model"] = paper.model
    found = [
        f"a sample of {task} with {name} {_shown(about.get(name))} ({published.named(key, _shown(value))})"
        for name, value in expected.items()
        if about.get(name) != value
    ]
    topics = about.get("topics")
    topics = topics if isinstance(topics, dict) else {}
    shares = {name: topic.get("share") if isinstance(topic, dict) else None for name, topic in topics.items()}
    if shares != paper.shares:
        found.append(f"a sample of {task} with other topics or shares than the paper's")
    return found


def _about(path: Path) -> dict[str, Any] | None:
    """Return how a sample was drawn; None without such a file."""
    try:
        # A journal names it, and a pipe of that name would wait for ever.
        about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return about if isinstance(about, dict) and "method" in about else None


def _shown(value: object) -> str:
    return f"{value:,}" if type(value) is int else _readable(value)
