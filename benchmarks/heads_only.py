"""The time of an epoch of the heads alone, with the embedding cache and without.

Run: python benchmarks/heads_only.py --data DIR
     (DIR: the course's files; without it, the toy corpus)

Both ways take turns, round after round, over the same batches; an epoch is its steps and the scoring of the dev rows.
CPU time of one thread, or wall time on a GPU; the first epoch, which fills the cache, is reported separately.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from mistakes import told_to_the_user

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.training.evaluate import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import Process, local_process

EPOCHS = 3


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files.")] = None,
    encoder: Annotated[str, typer.Option(help="As in a trial's configuration.")] = "minilm",
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    rows: Annotated[int, typer.Option(min=1, help="Training rows a task.")] = 500,
    dev_rows: Annotated[int, typer.Option(min=2, help="Rows a task that are scored.")] = 250,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print the median epochs, their ratio with its spread, and the scores of both ways."""
    fixed: dict[str, Any] = {
        "encoder": encoder,
        "finetune": "heads_only",
        "batch_size": batch_size,
        "epochs": EPOCHS,
        "learning_rate": 1e-3,
        "data.max_train_rows": rows,
        "data.max_dev_rows": dev_rows,
        **({} if data is None else {"data.source": "course", "data.directory": str(data)}),
    }
    first: list[float] = []
    later: dict[bool, list[float]] = {True: [], False: []}
    scores: dict[bool, list[float]] = {True: [], False: []}
    for round_ in range(rounds):
        config = TrialConfig.model_validate(nest({**fixed, "seed": round_}))
        process = local_process(config.resources)
        torch.set_num_threads(1)
        for cached in (True, False):
            seconds, score = _epochs(config, process, cached=cached)
            later[cached].append(statistics.mean(seconds[1:]))
            scores[cached].append(score)
            if cached:
                first.append(seconds[0])
    ratios = [uncached / cached for cached, uncached in zip(later[True], later[False], strict=True)]
    for cached, name in ((True, "with cache"), (False, "without")):
        typer.echo(
            f"{name:14} {1000 * statistics.median(later[cached]):9.1f} ms an epoch, dev score {scores[cached][-1]:.5f}"
        )
    typer.echo(f"first epoch    {1000 * statistics.median(first):9.1f} ms")
    typer.echo(f"{statistics.median(ratios):.0f} times, {min(ratios):.0f} to {max(ratios):.0f} over {rounds} rounds")
    differences = [abs(cached - uncached) for cached, uncached in zip(scores[True], scores[False], strict=True)]
    typer.echo(f"dev scores differ by {max(differences):.5f} at most")


def _epochs(config: TrialConfig, process: Process, *, cached: bool) -> tuple[list[float], float]:
    """Return the seconds of each epoch and the last one's dev score."""
    run = TrainingRun(config, process=process)
    if not run.caches_embeddings:
        raise typer.BadParameter("the embeddings of so many rows do not fit into memory; lower --rows or --dev-rows")
    run.caches_embeddings = cached
    seconds, before = [], _now(process)
    for result in run.epochs():
        assert isinstance(result, EpochResult), "without a probe"
        after = _now(process)
        seconds.append(after - before)
        before = after
    return seconds, result.scores["dev_score"]


def _now(process: Process) -> float:
    if process.device.type == "cuda":
        torch.cuda.synchronize(process.device)
        return time.perf_counter()
    return time.process_time()


if __name__ == "__main__":
    typer.run(told_to_the_user()(main))
