"""The model card of an exported checkpoint (jinja2): what it is, how to use it, what it scored and what it cost.

Knows no weights and writes no file.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.metrics import METRICS, Metrics
from mtbert_ray.models.pretrained import TINY, Pooling
from mtbert_ray.training.scoring import reported_as

EXPORTED_CONFIG_NAME = "config.yaml"
"""The trial's setting, beside the card; config.json belongs to transformers."""

_ALWAYS_TOLD = ("pair_encoding", "finetune", "adapter.kind", "learning_rate", "batch_size", "epochs", "seed")
_TOLD_ELSEWHERE = ("encoder", "tasks", "pooling", "experiment")
_SCORES = ("dev_score", "leaderboard_score")


def model_card(
    config: TrialConfig, metrics: Metrics, *, base: str, pooling: Pooling, as_adapter: bool, name: str
) -> str:
    """Return the card as Markdown with the Hub's front matter.

    Args:
        config: of the run.
        metrics: of the epoch that was kept; costs that are not known are left out.
        base: name or folder of the encoder that training began with.
        pooling: how the encoder's token states become an embedding.
        as_adapter: whether the folder holds an adapter alone.
        name: title of the card.
    """
    environment = Environment(
        loader=PackageLoader("mtbert_ray.training", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.j2").render(
        config=config,
        base=base,
        # A folder, or random weights, are nothing that the Hub could link to.
        base_on_hub=config.encoder != TINY and not Path(base).is_dir(),
        pooling=pooling,
        as_adapter=as_adapter,
        name=name,
        scores=_scores(config, metrics),
        costs=_costs(metrics),
        settings=_settings(config),
        config_name=EXPORTED_CONFIG_NAME,
    )


def _scores(config: TrialConfig, metrics: Metrics) -> list[tuple[str, str, str]]:
    """Return name, meaning and value of each score; an empty value of one that is undefined."""
    named = [pair for task in config.tasks for pair in reported_as(task)]
    named += [(name, METRICS[name].meaning) for name in _SCORES]
    return [
        (name, meaning, "" if (value := metrics[name]) is None else f"{value:.4f}")
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
        if name not in _SCORES and (value := metrics.get(name)) is not None
    ]


def _settings(config: TrialConfig) -> list[tuple[str, Any]]:
    """Return the keys that somebody set, and the few that every reader wants to know."""
    chosen, defaults = (dotted(each.model_dump(mode="json")) for each in (config, TrialConfig()))
    return [
        (key, value)
        for key, value in chosen.items()
        if key.split(".")[0] not in _TOLD_ELSEWHERE and (key in _ALWAYS_TOLD or value != defaults.get(key))
    ]
