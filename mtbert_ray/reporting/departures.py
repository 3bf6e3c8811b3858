"""Says in what a trial departs from the paper's run of the same experiment. Knows configurations, and no scores."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mtbert_ray.records import Scalar
from mtbert_ray.reporting.published import (
    PAPER_ENCODER,
    PublishedRow,
    ascent_steps_of,
    epochs_of,
    is_on_sample,
    workers_of,
)
from mtbert_ray.reporting.wording import counted, joined


def departures_of(config: Mapping[str, Any], row: PublishedRow) -> tuple[str, ...]:
    """Return what a trial's configuration has otherwise than the paper, each as "1 epoch (the paper: 10)".

    Args:
        config: a TrialConfig as the journal has it.
        row: the paper's run.
    """
    data = config["data"]
    found = []
    if PurePath(config["encoder"]).name != PAPER_ENCODER:
        found.append(f"encoder {config['encoder']} (the paper: {PAPER_ENCODER})")
    if data["source"] == "toy":
        found.append("the generated toy corpus (the paper: SST, Quora and STS)")
    elif is_on_sample(row) and "quora" not in data["train_files"]:
        found.append("Quora rows not chosen by topic (the paper: a sample of 10,000 that was)")
    found += _row_limits(data)
    if config["epochs"] != (epochs := epochs_of(row)):
        found.append(f"{counted(config['epochs'], 'epoch')} (the paper: {epochs})")
    if (ours := config["resources"]["num_workers"]) != (workers := workers_of(row)):
        found.append(f"{counted(ours, 'worker')} (the paper: {workers})")
    steps, smart = ascent_steps_of(row), config["smart"]
    if steps is not None and smart["tasks"] and smart["steps"] != steps:
        found.append(f"{counted(smart['steps'], 'ascent step')} of SMART (the paper: {steps})")
    return tuple(found)


def hardware_in_words(hardware: Mapping[str, Scalar]) -> str:
    """Return what a sweep ran on, from the journal's first event: the GPUs if it had any, else the processor."""
    if gpus := hardware.get("gpus"):
        return str(gpus)
    processor = hardware.get("processor") or "a processor of unknown kind"
    cores = hardware.get("cores")
    return f"no GPU; {processor}" + (f", {counted(cores, 'core')}" if isinstance(cores, int) else "")


def _row_limits(data: Mapping[str, Any]) -> list[str]:
    """Return the limits on training and dev rows."""
    limits = []
    train = data["max_train_rows"]
    if isinstance(train, Mapping):
        by_task = [f"{rows:,} of {task}" for task, rows in train.items()]
        limits.append(f"at most {joined(by_task)} training rows (the paper: all of its split or sample)")
    elif train is not None:
        limits.append(f"at most {train:,} training rows a task (the paper: all)")
    if (dev := data["max_dev_rows"]) is not None:
        limits.append(f"at most {dev:,} dev rows a task (the paper: all)")
    return limits
