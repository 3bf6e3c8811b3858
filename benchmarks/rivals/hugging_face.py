"""Hugging Face's Trainer."""

import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from mtbert_ray.config import TrialConfig
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.training.checkpoint import initial_model
from mtbert_ray.training.process import Process, uses_bf16
from rivals.common import dev_score, mean_loss
from rivals.stopwatch import Stopwatch
from rivals.texts import Row, Tokens, tokenized_rows


def trainer(
    config: TrialConfig,
    process: Process,
    watch: Stopwatch,
    *,
    sampling: str = TrainingArguments.train_sampling_strategy,
) -> float:
    """Train with Hugging Face's Trainer at its defaults: tokenized beforehand, padded to the longest of each batch.

    Args:
        config: of one task.
        process: this process alone.
        watch: times the steps.
        sampling: the Trainer's `train_sampling_strategy`.
    """
    model = initial_model(config)
    collator = DataCollatorWithPadding(load_tokenizer(config.encoder))

    def collate(rows: list[Row]) -> dict[str, Any]:
        sentences = zip(*(row["sentences"] for row in rows), strict=True)
        labels = torch.tensor([row["labels"] for row in rows])
        return {"sentences": [dict(collator(list(sentence))) for sentence in sentences], "labels": labels}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm or 0.0,  # 0 does not clip
            lr_scheduler_type=config.schedule,
            bf16=uses_bf16(config, process.device),
            use_cpu=process.device.type == "cpu",
            train_sampling_strategy=sampling,
            remove_unused_columns=False,
            seed=config.seed,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        hugging_face = Trainer(
            _LossOf(model, config.tasks[0].name),
            arguments,
            data_collator=collate,
            train_dataset=tokenized_rows(config),
            processing_class=load_tokenizer(config.encoder),
            callbacks=[_Watching(watch)],
        )
        hugging_face.remove_callback(PrinterCallback)
        hugging_face.train()
    return dev_score(model, config, process)


def trainer_grouped(config: TrialConfig, process: Process, watch: Stopwatch) -> float:
    """Train with Hugging Face's Trainer, rows grouped by their lengths."""
    return trainer(config, process, watch, sampling="group_by_length")


class _LossOf(nn.Module):
    """The model with its loss, as the Trainer wants it."""

    def __init__(self, model: MultitaskModel, task: str) -> None:
        super().__init__()
        self.model = model
        self._task = task

    def forward(self, sentences: list[Tokens], labels: Tensor) -> dict[str, Tensor]:
        """Return the mean loss of a batch."""
        return {"loss": mean_loss(self.model, self._task, sentences, labels)}


class _Watching(TrainerCallback):
    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def on_train_begin(self, *_: object, **__: object) -> None:
        self._watch.start()

    def on_step_end(self, *_: object, **__: object) -> None:
        self._watch.step()

    def on_train_end(self, *_: object, **__: object) -> None:
        self._watch.stop()
