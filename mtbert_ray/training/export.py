"""Exports a checkpoint's encoder or adapter as a folder that transformers and peft load, with a model card."""

import inspect
import json
from pathlib import Path
from typing import Any

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import UserError
from mtbert_ray.files import make_folder, open_to_others
from mtbert_ray.models.adapters import merge_adapter, to_peft
from mtbert_ray.models.adapters.by_peft import ADAPTER_NAME
from mtbert_ray.models.encoder import Encoder, load_encoder, load_tokenizer
from mtbert_ray.models.pretrained import TINY
from mtbert_ray.training.checkpoint import load_checkpoint, read_metrics
from mtbert_ray.training.model_card import public_base, write_model_card


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
    refuse_used(out)
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
    pooling = model.encoder.pooling
    write_model_card(
        out,
        config,
        metrics,
        name=out.name,
        pooling=pooling,
        leaves_pooler_out=pooling == "pooler" and _leaves_pooler_out(model.encoder),
        as_adapter=as_adapter,
    )
    for path in out.rglob("*"):
        if path.is_file():
            open_to_others(path)
    return out


def refuse_used(out: Path) -> None:
    """Raise a UserError for a folder that holds something already."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a folder")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: is not empty; give a folder of its own")


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
    adapted.peft_config[ADAPTER_NAME].base_model_name_or_path, _ = public_base(config)
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
