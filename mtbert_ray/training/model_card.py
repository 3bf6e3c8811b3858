"""The model card of an exported checkpoint (jinja2), and the trial's config beside it, without local paths."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.metrics import MEAN_SCORES, METRICS, Metrics
from mtbert_ray.models.pretrained import PACKAGED, TINY, Pooling
from mtbert_ray.task_source import HubSource, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.training.scoring import reported_as

PUBLISHED = {PACKAGED: "sentence-transformers/all-MiniLM-L6-v2"}
"""Encoders that the Hub knows by another name than we do."""
_CONFIG_NAME = "config.yaml"
"""Of the trial's config, beside the card; config.json belongs to transformers."""
_ALWAYS_SHOWN = ("pair_encoding", "finetune", "adapter.kind", "learning_rate", "batch_size", "epochs", "seed")
_SHOWN_ELSEWHERE = ("encoder", "tasks", "pooling", "experiment")


def write_model_card(
    folder: Path,
    config: TrialConfig,
    metrics: Metrics,
    *,
    name: str,
    pooling: Pooling,
    leaves_pooler_out: bool,
    as_adapter: bool,
) -> None:
    """Write README.md, with the Hub's front matter, and the trial's config.

    Args:
        folder: of the exported encoder or adapter.
        config: of the run.
        metrics: of the epoch that was kept; unknown costs are left out.
        name: title of the card.
        pooling: how the encoder's token states become an embedding.
        leaves_pooler_out: whether AutoModel must be asked for the pooling layer that the embedding comes from.
        as_adapter: whether the folder has an adapter alone.
    """
    templates = {
        text for task in config.tasks for text in (task.templates if task.kind.is_pair else task.templates[:1])
    }
    _write(
        "model_card.md.j2",
        folder,
        config,
        metrics,
        name=name,
        pooling=pooling,
        load_option=", add_pooling_layer=True" if leaves_pooler_out else "",
        as_adapter=as_adapter,
        has_pairs=any(task.kind.is_pair for task in config.tasks),
        templated=next((task for task in config.tasks if task.template is not None), None),
        num_templates=len(templates),
    )


def write_onnx_card(
    folder: Path, config: TrialConfig, metrics: Metrics, *, name: str, tasks: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write README.md and the trial's config into a folder of ONNX files, whose tasks.json lists these tasks."""
    by_kind: dict[TaskKind, list[TaskSpec]] = {}
    for task in config.tasks:
        by_kind.setdefault(task.kind, []).append(task)
    groups = list(by_kind.values())
    _write(
        "onnx_card.md.j2",
        folder,
        config,
        metrics,
        name=name,
        tasks=tasks,
        groups=groups,
        max_length=config.data.max_length,
    )


def _write(template: str, folder: Path, config: TrialConfig, metrics: Metrics, **values: object) -> None:
    environment = Environment(
        loader=PackageLoader("mtbert_ray.training", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown
        keep_trailing_newline=True,
    )
    # As Python writes it too; jinja's own filter escapes what HTML would read.
    environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)
    (base, base_on_hub), public = public_base(config), _without_local_paths(config)
    card = environment.get_template(template).render(
        config=public,
        base=base,
        base_on_hub=base_on_hub,
        task_rows=_tasks(public),
        has_templates=any(task.template is not None for task in public.tasks),
        scores=_scores(public, metrics),
        costs=_costs(metrics),
        hyperparameters=_hyperparameters(public),
        config_name=_CONFIG_NAME,
        **values,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    with (folder / _CONFIG_NAME).open("w", encoding="utf-8") as file:
        YAML().dump(public.model_dump(mode="json"), file)


def public_base(config: TrialConfig) -> tuple[str, bool]:
    """Return the name of the encoder that training started from, a folder by its last name; whether the Hub has it."""
    name = PUBLISHED.get(config.encoder, config.encoder)
    is_folder = Path(name).expanduser().is_dir()
    # The Hub cannot link to a folder or to random weights.
    return Path(name).name if is_folder else name, config.encoder != TINY and not is_folder


def _without_local_paths(config: TrialConfig) -> TrialConfig:
    """Return the config with files and folders by their last name only."""
    data = config.data.model_copy(
        update={
            "directory": _last_name(config.data.directory),
            "train_files": {task: _last_name(file) for task, file in config.data.train_files.items()},
        }
    )
    return config.model_copy(
        update={
            "data": data,
            "encoder": _last_name(config.encoder),
            "init_from": _last_name(config.init_from),
            "tasks": tuple(_task_without_local_paths(task) for task in config.tasks),
        }
    )


def _task_without_local_paths(task: TaskSpec) -> TaskSpec:
    match task.source:
        case TableSource(train=train, dev=dev, test=test) as table:
            files = {"train": _last_name(train), "dev": _last_name(dev), "test": _last_name(test)}
            return task.model_copy(update={"source": table.model_copy(update=files)})
        case HubSource(dataset=dataset) as hub:
            return task.model_copy(update={"source": hub.model_copy(update={"dataset": _last_name(dataset)})})
    return task


def _last_name(path: str | None) -> str | None:
    return Path(path).name if path is not None and Path(path).is_absolute() else path


def _tasks(config: TrialConfig) -> list[tuple[str, ...]]:
    """Return each task's name, kind, classes or range, metrics and template, as cells of a Markdown table."""
    return [
        (
            task.name,
            str(task.kind),
            _cell("{:g} to {:g}".format(*task.label_range) if task.label_range else ", ".join(task.class_names)),
            _cell(", ".join(task.metric_names)),
            "" if task.template is None else _cell(_template(task)),
        )
        for task in config.tasks
    ]


def _template(task: TaskSpec) -> str:
    """Return a task's templates, in quotes, so that spaces at the ends show."""
    return ", ".join(json.dumps(text, ensure_ascii=False) for text in dict.fromkeys(task.templates))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _scores(config: TrialConfig, metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return name, meaning and value of each score; an empty value of one that is undefined."""
    named = [pair for task in config.tasks for pair in reported_as(task)]
    named += [(name, METRICS[name].meaning) for name in MEAN_SCORES]
    return [
        (_cell(name), _cell(meaning), "" if (value := metrics[name]) is None else f"{value:.4f}")
        for name, meaning in named
        if name in metrics
    ]


def _costs(metrics: Metrics) -> list[tuple[str, str, str]]:
    return [
        (
            name,
            f"{value:,}" if isinstance(value, int) else f"{value:.4g} {metric.unit}".rstrip(),
            metric.meaning,
        )
        for name, metric in METRICS.items()
        if name not in MEAN_SCORES and (value := metrics.get(name)) is not None
    ]


def _hyperparameters(config: TrialConfig) -> list[tuple[str, Any]]:
    """Return the keys that differ from the defaults, and the few that are always shown."""
    chosen, defaults = (dotted(each.model_dump(mode="json")) for each in (config, TrialConfig()))
    return [
        (key, value)
        for key, value in chosen.items()
        if key.split(".")[0] not in _SHOWN_ELSEWHERE and (key in _ALWAYS_SHOWN or value != defaults.get(key))
    ]
