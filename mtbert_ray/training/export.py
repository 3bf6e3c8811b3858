"""Exports a checkpoint's encoder or adapter for transformers and peft, and writes the model cards (jinja2)."""

import inspect
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig, dotted
from mtbert_ray.errors import UserError
from mtbert_ray.files import make_folder, open_to_others, refuse_used_folder
from mtbert_ray.metrics import MEAN_SCORES, METRICS, Metrics
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.peft_adapters import ADAPTER_NAME, to_peft
from mtbert_ray.models.pretrained import PACKAGED, TINY
from mtbert_ray.task_source import HubSource, TableSource
from mtbert_ray.tasks import TaskKind, TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.scoring import reported_as

PUBLISHED = {PACKAGED: "sentence-transformers/all-MiniLM-L6-v2"}
"""Encoders that the Hub knows by another name than we do."""
_CONFIG_NAME = "config.yaml"
"""Of the trial's config; config.json belongs to transformers."""
_ALWAYS_SHOWN = ("pair_encoding", "finetune", "adapter.kind", "learning_rate", "batch_size", "epochs", "seed")
_SHOWN_ELSEWHERE = ("encoder", "tasks", "pooling", "experiment")


def export_checkpoint(checkpoint: Path, out: Path, *, merge: bool = False) -> Path:
    """Write the encoder of a checkpoint into a new folder and return it.

    Without an adapter, or with the adapter merged, it is an encoder of transformers in float32; else it is an adapter
    of peft for the encoder that it was trained on.

    Raises:
        UserError: the folder is in use or cannot be made, or the adapter has no published encoder to go with.
        CheckpointError: the checkpoint is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder that it was made from cannot be found.
    """
    refuse_used_folder(out)
    model, config = load_checkpoint(checkpoint)
    as_adapter = config.adapter.kind != "none" and not merge
    if as_adapter:
        _check_has_base(checkpoint, config)
    metrics = read_metrics(checkpoint)
    make_folder(out, f"--out {out}")
    load_tokenizer(config.encoder).save_pretrained(out)
    if as_adapter:
        _save_adapter(model.encoder, config, out)
    else:
        merge_adapter(model.encoder)
        model.encoder.model.save_pretrained(out)
        _save_pooling(model.encoder, config, out)
    _write_model_card(out, model.encoder, config, metrics, as_adapter=as_adapter)
    for path in out.rglob("*"):
        if path.is_file():
            open_to_others(path)
    return out


def _check_has_base(checkpoint: Path, config: TrialConfig) -> None:
    """Refuse to export an adapter alone whose encoder nobody else can get."""
    if config.init_from is not None:
        raise UserError(
            f"{checkpoint}: its adapter was trained on the encoder of an earlier run ({config.init_from}), which is "
            "published nowhere; give --merge to export that encoder with the adapter merged"
        )
    if config.encoder == TINY:
        raise UserError(
            f"{checkpoint}: its encoder '{TINY}' is random and published nowhere, so nobody could load its adapter; "
            "give --merge to export both as one"
        )


def _save_adapter(encoder: Encoder, config: TrialConfig, out: Path) -> None:
    # Only the weights that the adapter was put on matter here.
    base = load_encoder(config.encoder, pooling=encoder.pooling, dropout=None, seed=config.seed).model
    adapted = to_peft(encoder, base, config.adapter, seed=config.seed)
    adapted.peft_config[ADAPTER_NAME].base_model_name_or_path, _ = _public_base(config)
    # Else peft asks the Hub for the size of the vocabulary.
    adapted.save_pretrained(str(out), save_embedding_layers=False)


def _leaves_pooler_out(encoder: Encoder) -> bool:
    """Return whether AutoModel builds the pooling layer only on request, as for gte."""
    parameter = inspect.signature(type(encoder.model).__init__).parameters.get("add_pooling_layer")
    return parameter is not None and parameter.default is False


def _save_pooling(encoder: Encoder, config: TrialConfig, out: Path) -> None:
    """Write sentence-transformers' files, which `encoder: DIR` reads the pooling from too.

    A pooling layer of the encoder's own needs none: it is among the weights.
    """
    if encoder.pooling == "pooler":
        return
    kind = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
    ]
    pooling = {
        "word_embedding_dimension": encoder.width,
        "pooling_mode_cls_token": encoder.pooling == "cls",
        "pooling_mode_mean_tokens": encoder.pooling == "mean",
    }
    (out / "1_Pooling").mkdir()
    _write_json(out / "1_Pooling" / "config.json", pooling)
    _write_json(out / "modules.json", modules)
    _write_json(out / "sentence_bert_config.json", {"max_seq_length": config.data.max_length, "do_lower_case": False})


def _write_json(path: Path, content: Any) -> None:  # noqa: ANN401
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_model_card(
    folder: Path, encoder: Encoder, config: TrialConfig, metrics: Metrics, *, as_adapter: bool
) -> None:
    """Write README.md, with the Hub's front matter, and the trial's config."""
    leaves_pooler_out = encoder.pooling == "pooler" and _leaves_pooler_out(encoder)
    templates = {
        text for task in config.tasks for text in (task.templates if task.kind.is_pair else task.templates[:1])
    }
    _write_card(
        "model_card.md.j2",
        folder,
        config,
        metrics,
        name=folder.name,
        pooling=encoder.pooling,
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
    _write_card(
        "onnx_card.md.j2",
        folder,
        config,
        metrics,
        name=name,
        tasks=tasks,
        groups=list(by_kind.values()),
        max_length=config.data.max_length,
    )


def _write_card(template: str, folder: Path, config: TrialConfig, metrics: Metrics, **values: object) -> None:
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
    (base, base_on_hub), public = _public_base(config), _without_local_paths(config)
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


def _public_base(config: TrialConfig) -> tuple[str, bool]:
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
