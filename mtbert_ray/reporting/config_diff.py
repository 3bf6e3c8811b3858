"""Says in what a trial departs from the paper's run of the same experiment. Knows configurations, and no scores.

The whole configuration is compared, key by key, but for what cannot change a result, and for settings of an adapter or
of SMART where one of the two runs has none.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.events import Scalar
from mtbert_ray.reporting.published import PublishedSettings
from mtbert_ray.reporting.wording import config_value, counted, joined
from mtbert_ray.tasks import KNOWN_TASKS

_NOT_COMPARED = ("experiment", "seed", "data.directory")
_GROUPS_NOT_COMPARED = ("resources.", "profile.")
_COMPARED_AFTER_ALL = "resources.num_workers"
"""A worker draws its own dropout masks and takes its own time."""
_TRAIN_FILE = "data.train_files."
_OTHER_ROWS = "rows from a file"

_Comparable = dict[str, Any]
"""Dotted key -> a value that two runs with the same setting have alike, and that can be read."""


def config_diff(config: Mapping[str, Any], settings: PublishedSettings) -> tuple[str, ...]:
    """Return what a trial has otherwise than the paper's run, each as "epochs 1 (the paper: 10)".

    What the paper leaves open is compared with our own search space of its table, and says so: "epochs 1 (table 6
    here: 10, assumed)".

    Args:
        config: a TrialConfig as the journal has it. A key from after its time has the value that is its default.
        settings: what the paper's run had.
    """
    ours = {**_defaults(), **_comparable(config)}
    papers = _comparable(settings.config.model_dump(mode="json"))
    keys = [key for key in {**papers, **ours} if _is_compared(key) and _matters(key, ours, papers)]
    found = [
        _departure(key, ours.get(key), papers.get(key), settings) for key in keys if ours.get(key) != papers.get(key)
    ]
    for task, file in config["data"]["train_files"].items():
        if f"{_TRAIN_FILE}{task}" in papers:
            found += sample_differences(task, PurePath(file), settings)
    return tuple(found)


def hardware_in_words(hardware: Mapping[str, Scalar]) -> str:
    """Return what a sweep ran on, from the journal's first event: the GPUs if it had any, else the processor."""
    if gpus := hardware.get("gpus"):
        return str(gpus)
    processor = hardware.get("processor") or "a processor of unknown kind"
    cores = hardware.get("cores")
    return f"no GPU; {processor}" + (f", {counted(cores, 'core')}" if isinstance(cores, int) else "")


@cache
def _defaults() -> _Comparable:
    return _comparable(TrialConfig().model_dump(mode="json"))


def _comparable(config: Mapping[str, Any]) -> _Comparable:
    """Flatten a configuration; where a value can be written in several ways, or is a path, put what it means."""
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
        "train_files": dict.fromkeys(data.get("train_files", {}), _OTHER_ROWS),
    }
    return dotted(values)


def _is_compared(key: str) -> bool:
    left_out = key in _NOT_COMPARED or key.startswith(_GROUPS_NOT_COMPARED)
    return key == _COMPARED_AFTER_ALL or not left_out


def _matters(key: str, ours: _Comparable, papers: _Comparable) -> bool:
    """Whether a key does something in both runs, or is the one that says that it does nothing in one of them."""
    if key.startswith("adapter.") and key != "adapter.kind":
        return "none" not in (ours["adapter.kind"], papers["adapter.kind"])
    if key.startswith("smart.") and key != "smart.tasks":
        return bool(ours["smart.tasks"] and papers["smart.tasks"])
    return key != "base_batch_size" or ours["learning_rate_scaling"] != "none"


def _departure(key: str, ours: object, papers: object, settings: PublishedSettings) -> str:
    if key.startswith(_TRAIN_FILE):
        task = key.removeprefix(_TRAIN_FILE)
        if ours is None:
            rows = f"{settings.sample.rows:,} that were"
            return f"rows of {task} not chosen by topic ({settings.named(key, rows)})"
        return f"rows of {task} from a file ({settings.named(key, 'all of the task')})"
    if key == "data.source" and ours == "toy":
        return f"the generated toy corpus ({settings.named(key, 'SST, Quora and STS')})"
    name = {"data.max_train_rows": "training rows", "data.max_dev_rows": "dev rows"}.get(key, key)
    return f"{name} {_readable(ours)} ({settings.named(key, _readable(papers))})"


def _readable(value: object) -> str:
    if value is None:
        return "none"
    return joined([str(part) for part in value]) or "none" if isinstance(value, list) else config_value(value)


def _encoder(name: str) -> str:
    """A folder counts by its name, and so does the Hub's own name of BERT with its owner."""
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


def sample_differences(task: str, file: PurePath, settings: PublishedSettings) -> list[str]:
    """Return what a file of training rows has otherwise than the paper's sample; that nothing tells is one as well.

    Args:
        task: whose rows they are.
        file: the rows; how they were drawn stands beside them under the same name, as JSON.
        settings: what the paper's run had.
    """
    key, paper = f"data.train_files.{task}", settings.sample
    about = _about(Path(file).with_suffix(".json"))
    if about is None:
        drawn = settings.named(key, f"by topic, {paper.method}")
        return [f"a sample of {task} drawn in a way that no {file.stem}.json here tells ({drawn})"]
    expected: dict[str, object] = {"rows": paper.rows, "method": paper.method}
    if about.get("method") == paper.method:
        expected["model"] = paper.model
    found = [
        f"a sample of {task} with {name} {_shown(about.get(name))} ({settings.named(key, _shown(value))})"
        for name, value in expected.items()
        if about.get(name) != value
    ]
    if _shares(about) != paper.shares:
        found.append(f"a sample of {task} with other topics or shares than the paper's")
    return found


def _about(path: Path) -> dict[str, Any] | None:
    """Return how a sample was drawn; None where no file tells."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and "method" in about else None


def _shares(about: dict[str, Any]) -> dict[str, Any]:
    topics = about.get("topics")
    topics = topics if isinstance(topics, dict) else {}
    return {name: topic.get("share") if isinstance(topic, dict) else None for name, topic in topics.items()}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if type(value) is int else config_value(value)
