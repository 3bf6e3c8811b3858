"""Writes a checkpoint as a folder that transformers and peft load by themselves, with a model card.

The task heads are ours alone and stay in the checkpoint.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import UserError
from mtbert_ray.files import make_folder, open_to_others, refuse_used_folder
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.peft_adapters import ADAPTER_NAME, to_peft
from mtbert_ray.models.pretrained import PACKAGED, TINY
from mtbert_ray.task_source import HubSource, TableSource
from mtbert_ray.tasks import TaskSpec
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.model_card import EXPORTED_CONFIG_NAME, Base, model_card

PUBLISHED = {PACKAGED: "sentence-transformers/all-MiniLM-L6-v2"}
"""Encoders that the Hub knows by another name than we do."""


def export_checkpoint(checkpoint: Path, out: Path, *, merge: bool = False) -> Path:
    """Write the encoder of a checkpoint into a new folder and return it.

    Without an adapter, or with the adapter merged, it is an encoder of transformers in float32; else it is an adapter
    of peft for the encoder that it was trained on.

    Args:
        checkpoint: folder of the checkpoint.
        out: empty, or there is none yet.
        merge: whether the adapter is folded into the weights.

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
    leaves_pooler_out = model.encoder.pooling == "pooler" and _leaves_pooler_out(model.encoder)
    make_folder(out, f"--out {out}")
    load_tokenizer(config.encoder).save_pretrained(out)
    if as_adapter:
        _save_adapter(model.encoder, config, out)
    else:
        merge_adapter(model.encoder)
        model.encoder.model.save_pretrained(out)
        _save_pooling(model.encoder, config, out)
    public = without_local_paths(config)
    with (out / EXPORTED_CONFIG_NAME).open("w", encoding="utf-8") as file:
        YAML().dump(public.model_dump(mode="json"), file)
    card = model_card(
        public,
        metrics,
        base=public_base(config),
        pooling=model.encoder.pooling,
        leaves_pooler_out=leaves_pooler_out,
        as_adapter=as_adapter,
        name=out.name,
    )
    (out / "README.md").write_text(card, encoding="utf-8")
    for path in out.rglob("*"):
        if path.is_file():
            open_to_others(path)
    return out


def public_base(config: TrialConfig) -> Base:
    """Return the encoder as others may know it: by its name on the Hub, or a folder by its last name."""
    name = PUBLISHED.get(config.encoder, config.encoder)
    is_folder = Path(name).expanduser().is_dir()
    # A folder, or random weights, are nothing that the Hub could link to.
    return Base(name=Path(name).name if is_folder else name, is_on_hub=config.encoder != TINY and not is_folder)


def without_local_paths(config: TrialConfig) -> TrialConfig:
    """Return the setting with files and folders by their last name: where they lie here is of use to nobody else."""
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


def _check_has_base(checkpoint: Path, config: TrialConfig) -> None:
    """An adapter alone is of use only to somebody who can get the weights that it belongs to."""
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
    # Its own pooling, and no other dropout: only the weights that the adapter was put on matter here.
    base = load_encoder(config.encoder, pooling=encoder.pooling, dropout=None, seed=config.seed).model
    adapted = to_peft(encoder, base, config.adapter, seed=config.seed)
    adapted.peft_config[ADAPTER_NAME].base_model_name_or_path = public_base(config).name
    # Told that embeddings are not adapted, peft need not ask the Hub for the size of the vocabulary.
    adapted.save_pretrained(str(out), save_embedding_layers=False)


def _leaves_pooler_out(encoder: Encoder) -> bool:
    """Return whether AutoModel builds the pooling layer only where it is asked to, as for gte."""
    parameter = inspect.signature(type(encoder.model).__init__).parameters.get("add_pooling_layer")
    return parameter is not None and parameter.default is False


def _save_pooling(encoder: Encoder, config: TrialConfig, out: Path) -> None:
    """Write sentence-transformers' files, from which `encoder: DIR` knows the pooling too.

    An encoder with a pooling layer of its own needs none of them: the layer is a part of its weights.
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
