"""What a training step of each method costs against plain full fine-tuning: CPU time, or GPU time and memory.

Run: python benchmarks/methods.py --data DIR        (DIR: the course's files; without it, the toy corpus)

The methods take turns, round after round, so that what else happens on the machine meets all of them; medians.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import local_process

SMART = {"smart.tasks": ("sst", "quora", "sts"), "smart.epsilon": 0.01, "smart.step_size": 0.01}
LORA = {"adapter.kind": "lora"}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "full, 4 accumulation steps": {"accumulation_steps": 4},
    "full, separate pairs": {"pair_encoding": "separate"},
    "full, SMART k=0": {**SMART, "smart.steps": 0},
    "full, SMART k=1": {**SMART, "smart.steps": 1},
    "full, SMART k=3": {**SMART, "smart.steps": 3},
    "heads only": {"finetune": "heads_only"},
    "LoRA": LORA,
    "LoRA by loralib": {**LORA, "adapter.library": "loralib"},
    "LoRA, SMART k=1": {**LORA, **SMART, "smart.steps": 1},
    "DoRA": {"adapter.kind": "dora"},
    "VeRA, rank 256": {"adapter.kind": "vera", "adapter.rank": 256},
}
WARM_UP_STEPS = 2


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files.")] = None,
    encoder: Annotated[str, typer.Option(help="As in a trial's configuration.")] = "minilm",
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Steps a round and task.")] = 2,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print each method's median step and its ratio to full fine-tuning."""
    fixed: dict[str, Any] = {
        "encoder": encoder,
        "batch_size": batch_size,
        "epochs": 1,
        "data.max_train_rows": batch_size * (steps + WARM_UP_STEPS),
        "data.max_dev_rows": 2,
    }
    if data is not None:
        fixed |= {"data.source": "course", "data.directory": str(data)}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    peaks: dict[str, float] = dict.fromkeys(METHODS, 0.0)
    for round_ in range(rounds):
        for name, method in METHODS.items():
            config = TrialConfig.model_validate(nest({**fixed, **method, "seed": round_}))
            step_seconds, peak = measure(config)
            seconds[name].append(step_seconds)
            peaks[name] = max(peaks[name], peak)
    baseline = statistics.median(seconds["full"])
    typer.echo(f"{'method':28} {'ms a step':>10} {'ratio':>7} {'peak GPU GiB':>13}")
    for name, values in seconds.items():
        median = statistics.median(values)
        memory = f"{peaks[name]:13.2f}" if torch.cuda.is_available() else f"{'no GPU':>13}"
        typer.echo(f"{name:28} {1000 * median:10.0f} {median / baseline:7.2f} {memory}")


def measure(config: TrialConfig) -> tuple[float, float]:
    """Return the seconds of a step (of the processor, or of the wall clock on a GPU) and the GPU's peak in GiB."""
    process = local_process(config.resources)
    on_gpu = process.device.type == "cuda"
    times: list[float] = []

    def note(step: int, total: int) -> None:
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() if on_gpu else time.process_time())

    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    run = TrainingRun(config, process=process, on_step=note)
    list(run.epochs())
    timed = times[WARM_UP_STEPS:]
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return (timed[-1] - timed[0]) / (len(timed) - 1), peak


if __name__ == "__main__":
    typer.run(main)
