"""The model card of an exported checkpoint (jinja2): what it is, how to use it, what it scored and what it cost.

Knows no weights and writes no file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.metrics import MEAN_SCORES, METRICS, Metrics
from mtbert_ray.models.pretrained import Pooling
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.training.scoring import reported_as

EXPORTED_CONFIG_NAME = "config.yaml"
"""The trial's setting, beside the card; config.json belongs to transformers."""

_ALWAYS_TOLD = ("pair_encoding", "finetune", "adapter.kind", "learning_rate", "batch_size", "epochs", "seed")
_TOLD_ELSEWHERE = ("encoder", "tasks", "pooling", "experiment")


@dataclass(frozen=True, kw_only=True)
class Base:
    """The encoder that training began with, as others may know it."""

    name: str
    """On the Hub, or of its folder without the place of that."""
    is_on_hub: bool


def model_card(
    config: TrialConfig,
    metrics: Metrics,
    *,
    base: Base,
    pooling: Pooling,
    leaves_pooler_out: bool,
    as_adapter: bool,
    name: str,
) -> str:
    """Return the card as Markdown with the Hub's front matter.

    Args:
        config: of the run.
        metrics: of the epoch that was kept; costs that are not known are left out.
        base: the encoder that training began with.
        pooling: how the encoder's token states become an embedding.
        leaves_pooler_out: whether AutoModel must be asked for the pooling layer that the embedding comes from.
        as_adapter: whether the folder holds an adapter alone.
        name: title of the card.
    """
    templates = {
        text for task in config.tasks for text in (task.templates if task.kind.is_pair else task.templates[:1])
    }
    return _rendered(
        "model_card.md.j2",
        config,
        metrics,
        base=base,
        pooling=pooling,
        load_option=", add_pooling_layer=True" if leaves_pooler_out else "",
        as_adapter=as_adapter,
        name=name,
        has_pairs=any(task.kind.is_pair for task in config.tasks),
        templated=next((task for task in config.tasks if task.template is not None), None),
        num_templates=len(templates),
    )


def onnx_card(
    config: TrialConfig, metrics: Metrics, *, base: Base, name: str, tasks: Mapping[str, Mapping[str, Any]]
) -> str:
    """Return the card of a folder of ONNX files.

    Args:
        config: of the run.
        metrics: of the epoch that was kept.
        base: the encoder that training began with.
        name: title of the card.
        tasks: what tasks.json says of each task.
    """
    by_kind: dict[TaskKind, list[TaskSpec]] = {}
    for task in config.tasks:
        by_kind.setdefault(task.kind, []).append(task)
    return _rendered(
        "onnx_card.md.j2",
        config,
        metrics,
        base=base,
        name=name,
        tasks=tasks,
        groups=list(by_kind.values()),
        max_length=config.data.max_length,
    )


def _rendered(template: str, config: TrialConfig, metrics: Metrics, *, base: Base, **values: object) -> str:
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
    return environment.get_template(template).render(
        config=config,
        base=base.name,
        base_on_hub=base.is_on_hub,
        task_rows=_tasks(config),
        has_templates=any(task.template is not None for task in config.tasks),
        scores=_scores(config, metrics),
        costs=_costs(metrics),
        settings=_settings(config),
        config_name=EXPORTED_CONFIG_NAME,
        **values,
    )


def _tasks(config: TrialConfig) -> list[tuple[str, ...]]:
    """Return name, kind, classes or range, metrics and template of each task, as cells of a Markdown table."""
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
    """Return what the encoder reads in place of a task's sentences; in quotes, so that spaces at the ends show."""
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


def _settings(config: TrialConfig) -> list[tuple[str, Any]]:
    """Return the keys that somebody set, and the few that every reader wants to know."""
    chosen, defaults = (dotted(each.model_dump(mode="json")) for each in (config, TrialConfig()))
    return [
        (key, value)
        for key, value in chosen.items()
        if key.split(".")[0] not in _TOLD_ELSEWHERE and (key in _ALWAYS_TOLD or value != defaults.get(key))
    ]
