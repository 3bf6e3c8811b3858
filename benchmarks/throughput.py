"""Samples a second of this trainer and of what a user would pick instead, on the same model, rows and recipe.

Run: python benchmarks/throughput.py --data DIR     (DIR: the course's files; without it, the toy corpus)
GPU: python benchmarks/throughput.py --data DIR --shapes bert-base --batch-size 128 --steps 520 \
         --warm-up-steps 20 --run quora --run quora-lora --run quora-dora

The trainers take turns, round after round, each with a whole fine-tuning run of its own, so that what else happens on
the machine meets all of them; a round has one seed. On a CPU one thread computes, and the processor's time counts; on
a GPU the wall time does, with the peak of allocated memory and the model FLOP utilization (`rivals/arithmetic.py`).
Loading, tokenizing beforehand and scoring the dev rows are not timed. Ratios are those of a round, before the median.

Every run goes through all its rows, so that all trainers get the same tokens. The Trainer groups by length within 50
batches, or a quarter of the run's: fewer than 200 steps give it a little less than its due.
"""

import gc
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from mistakes import told_to_the_user
from rivals import OURS, OURS_COMPILED, TRAINERS
from rivals.arithmetic import PAPER_RUNS, flops_of_row, paper_run_minutes, peak_tflops, utilization
from rivals.stopwatch import Stopwatch
from transformers import BertConfig, BertModel

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.models.encoder import load_tokenizer
from mtbert_ray.training.checkpoint import initial_model
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.process import Process, local_process, uses_bf16

_PEFT = {"adapter.rank": 8, "adapter.alpha": 16}
RUNS: dict[str, dict[str, Any]] = {
    "sst": {"tasks": ["sst"]},
    "quora": {"tasks": ["quora"]},
    "quora-separate": {"tasks": ["quora"], "pair_encoding": "separate"},
    "sts-separate": {"tasks": ["sts"], "pair_encoding": "separate"},
    "quora-lora": {"tasks": ["quora"], **_PEFT, "adapter.kind": "lora"},
    "quora-dora": {"tasks": ["quora"], **_PEFT, "adapter.kind": "dora"},
}
DEFAULT_RUNS = ("sst", "quora", "quora-separate")
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One trainer's run."""

    rows_per_second: float
    dev_score: float
    peak_gib: float


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files.")] = None,
    encoder: Annotated[str, typer.Option(help="As in a trial's configuration.")] = "minilm",
    shapes: Annotated[
        Literal["bert-base"] | None, typer.Option(help="Random weights of these shapes, minilm's tokenizer.")
    ] = None,
    runs: Annotated[
        list[str] | None, typer.Option("--run", help=f"Of {', '.join(RUNS)}; the first three if not given.")
    ] = None,
    trainers: Annotated[
        list[str] | None,
        typer.Option("--trainer", help=f"Besides ours, of: {'; '.join(TRAINERS)}. All but the compiled if not given."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Of a run of one epoch.")] = 60,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Training rows, in place of --steps; down to whole batches.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    dev_rows: Annotated[int, typer.Option(min=2, help="Rows that are scored.")] = 1000,
    learning_rate: float = 1e-4,
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option()] = "auto",
    warm_up_steps: Annotated[int, typer.Option(min=0, help="First steps that are not timed.")] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    peak: Annotated[float | None, typer.Option("--peak-tflops", help="Of the GPU; known for A100, H100, H200.")] = None,
) -> None:
    """Print a table for each run."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    wanted = runs or DEFAULT_RUNS
    others = trainers or [name for name in TRAINERS if name != OURS_COMPILED]
    chosen = [OURS, *(name for name in others if name != OURS)]
    for given, known in ((wanted, RUNS), (chosen, TRAINERS)):
        if unknown := set(given) - set(known):
            raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {'; '.join(known)}")
    if rows is not None and rows < batch_size:
        raise typer.BadParameter(f"--rows {rows} are no batch of {batch_size}")
    if OURS_COMPILED in chosen and warm_up_steps == 0:
        raise typer.BadParameter(f"'{OURS_COMPILED}' compiles in its first steps: give --warm-up-steps, as 20")
    if torch.cuda.device_count() > 1:
        raise typer.BadParameter("the Hugging Face Trainer would take every GPU; show one, by CUDA_VISIBLE_DEVICES=0")
    with tempfile.TemporaryDirectory() as folder:
        if shapes == "bert-base":
            encoder = _random_bert_base(Path(folder))
        for name in wanted:
            fixed = {
                "encoder": encoder,
                "batch_size": batch_size,
                "epochs": epochs,
                "learning_rate": learning_rate,
                "warmup_fraction": 0.0,
                "precision": precision,
                # Whole batches alone, so that a step is `batch_size` rows.
                "data.max_train_rows": batch_size * (steps if rows is None else rows // batch_size),
                "data.max_dev_rows": dev_rows,
                **({} if data is None else {"data.source": "course", "data.directory": str(data)}),
                **RUNS[name],
            }
            config = TrialConfig.model_validate(nest(fixed))
            process = local_process(config.resources)
            if process.device.type == "cpu":
                torch.set_num_threads(1)
            _compare(name, config, process, chosen, repeats=repeats, warm_up_steps=warm_up_steps, peak=peak)


def _compare(
    name: str,
    config: TrialConfig,
    process: Process,
    trainers: list[str],
    *,
    repeats: int,
    warm_up_steps: int,
    peak: float | None,
) -> None:
    """Let the trainers take turns, and print what came of it."""
    train_rows = len(load_inputs(config, "train")[config.tasks[0].name])
    total_steps = config.epochs * train_rows // config.batch_size
    if train_rows != config.data.max_train_rows:
        raise typer.BadParameter(f"{name} has only {train_rows} rows; lower --steps, --rows or --batch-size")
    if total_steps <= warm_up_steps:
        raise typer.BadParameter(f"of {total_steps} steps none is left to time after --warm-up-steps {warm_up_steps}")
    measured: dict[str, list[Measured]] = {trainer: [] for trainer in trainers}
    for round_ in range(repeats):
        for trainer in trainers:
            seeded = config.model_copy(update={"seed": round_})
            measured[trainer].append(measure(trainer, seeded, process, warm_up_steps=warm_up_steps))
            typer.echo(f"round {round_ + 1}, {trainer}: {measured[trainer][-1]}", err=True)
    typer.echo(f"\n{name}: {total_steps} steps of {config.batch_size}, {repeats} rounds, {_where(process)}")
    typer.echo(_row("", "samples/s", "(min to max)", "ours is", "(min to max)", "dev score", "+-", "peak GiB"))
    for trainer, results in measured.items():
        typer.echo(_summary(trainer, results, measured[OURS], on_gpu=process.device.type == "cuda"))
    _print_arithmetic(name, config, process, measured, peak)


def measure(trainer: str, config: TrialConfig, process: Process, *, warm_up_steps: int) -> Measured:
    """Let one trainer train one config."""
    on_gpu = process.device.type == "cuda"
    gc.collect()  # The Trainer's model is in reference cycles, and would count to the next one's peak.
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(process.device)
    watch = Stopwatch(process.device, warm_up_steps=warm_up_steps)
    dev_score = TRAINERS[trainer](config, process, watch)
    return Measured(
        rows_per_second=watch.steps * config.batch_size / watch.seconds,
        dev_score=dev_score,
        peak_gib=torch.cuda.max_memory_allocated(process.device) / _GIB if on_gpu else 0.0,
    )


def _summary(name: str, results: list[Measured], ours: list[Measured], *, on_gpu: bool) -> str:
    speeds = [result.rows_per_second for result in results]
    ratios = [own.rows_per_second / speed for own, speed in zip(ours, speeds, strict=True)]
    scores = [result.dev_score for result in results]
    return _row(
        name,
        f"{statistics.median(speeds):.1f}",
        f"{min(speeds):.1f} to {max(speeds):.1f}",
        f"{statistics.median(ratios):.2f}x",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{statistics.mean(scores):.3f}",
        f"{statistics.pstdev(scores):.3f}",
        f"{max(result.peak_gib for result in results):.2f}" if on_gpu else "no GPU",
    )


def _print_arithmetic(
    name: str, config: TrialConfig, process: Process, measured: dict[str, list[Measured]], peak: float | None
) -> None:
    """Print each trainer's model FLOP utilization, and how long the paper's run would take at our rate."""
    if peak is None and uses_bf16(config, process.device):
        peak = peak_tflops(process.device)
    task = config.tasks[0].name
    flops = flops_of_row(initial_model(config).encoder, load_inputs(config, "train")[task])
    medians = {
        trainer: statistics.median(result.rows_per_second for result in results)
        for trainer, results in measured.items()
    }
    typer.echo(f"arithmetic of a row: {flops / 1e9:.2f} GFLOP")
    if peak is not None:
        shares = (f"{trainer} {utilization(speed, flops, peak):.1%}" for trainer, speed in medians.items())
        typer.echo(f"model FLOP utilization of {peak:g} TFLOP/s: {', '.join(shares)}")
    if task == "quora" and config.pair_encoding == "joint" and process.device.type == "cuda":
        paper = PAPER_RUNS[config.adapter.kind]
        peak_mb = max(result.peak_gib for result in measured[OURS]) * _GIB / 1e6
        typer.echo(
            f"extrapolated from these steps, the paper's 20 epochs (5.95 M examples) would take "
            f"{paper_run_minutes(medians[OURS]):.1f} min with this encoder; the paper's A100 took {paper.minutes:g} "
            f"with bert-base. Allocated at most {peak_mb:.0f} MB; the paper's run held {paper.peak_mb:g} MB (batch 128)"
        )


def _where(process: Process) -> str:
    if process.device.type == "cuda":
        return f"wall time on {torch.cuda.get_device_name(process.device)}"
    return "CPU time of one thread"


def _random_bert_base(folder: Path) -> str:
    """Write a bert-base-uncased with random weights, which is as fast as a trained one."""
    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    return str(folder)


def _row(name: str, *cells: str) -> str:
    return f"{name:28}" + "".join(f"{cell:>17}" for cell in cells)


if __name__ == "__main__":
    typer.run(told_to_the_user()(main))
