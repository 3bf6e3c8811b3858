"""Training loops as they are often written by hand."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from mtbert_ray.config import TrialConfig
from mtbert_ray.training.checkpoint import initial_model
from mtbert_ray.training.optimizer import learning_rate_factor
from mtbert_ray.training.process import Process, uses_bf16
from rivals.common import dev_score, mean_loss
from rivals.stopwatch import Stopwatch
from rivals.texts import Row, text_rows, tokenizing


def sentence_transformers_style(config: TrialConfig, process: Process, watch: Stopwatch) -> float:
    """Train with a plain loop that tokenizes and pads each batch as it comes, and reads each step's loss."""
    return _loop(config, process, watch, padding="longest", bf16=uses_bf16(config, process.device))


def course_code(config: TrialConfig, process: Process, watch: Stopwatch) -> float:
    """Train with a loop as course code has it: every sequence padded to `data.max_length`, in float32."""
    return _loop(config, process, watch, padding="max_length", bf16=False)


def _loop(config: TrialConfig, process: Process, watch: Stopwatch, *, padding: str, bf16: bool) -> float:
    torch.manual_seed(config.seed)
    task = config.tasks[0].name
    model = initial_model(config).to(process.device).train()
    rows = text_rows(config)
    loader: DataLoader[Row] = DataLoader(
        rows,  # type: ignore[arg-type]  # a list has all that a data set needs
        batch_size=config.batch_size,
        shuffle=True,
        collate_fn=tokenizing(config, padding),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * len(loader)
    schedule = LambdaLR(optimizer, lambda step: learning_rate_factor(step, config, total_steps=steps))
    total_loss = 0.0
    with watch.running():
        for _ in range(config.epochs):
            for sentences, labels in loader:
                on_device = [{name: x.to(process.device) for name, x in tokens.items()} for tokens in sentences]
                with torch.autocast(process.device.type, dtype=torch.bfloat16, enabled=bf16):
                    loss = mean_loss(model, task, on_device, labels.to(process.device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm or float("inf"))
                optimizer.step()
                schedule.step()
                total_loss += loss.item()
                watch.step()
    return dev_score(model, config, process)
