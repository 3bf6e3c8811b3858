"""What a sweep adds around its trials: seconds a trial beside training and scoring, memory an extra trial, idle slots.

Run: python benchmarks/overhead.py --data DIR                  (one worker a trial, in a process that is used again)
     python benchmarks/overhead.py --data DIR --workers 2      (two workers a trial under Ray Train)
     python benchmarks/overhead.py --encoder tiny --trials 30 --rows 600 --epochs 4 --at-a-time 2  (idle slots)
     (DIR: the course's files, of which few rows are used; without it, the toy corpus)

Trials train on few rows on purpose, one at a time, so that what is left beside them is the sweep's own: starting the
trial, its rows and encoder, the checkpoint, what Ray and the journal take. They differ in the learning rate, as those
of most sweeps do, so a process that is used again has their rows. Memory is what a trial's process has for itself
(USS), so pages shared with others do not count; two at a time need two processors. A slot is busy while a trial trains
or scores in it.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from ruamel.yaml import YAML

from mtbert_ray.journal import read_journal
from mtbert_ray.trial import Sweep, Trial

_TRIAL_PROCESSES = ("ray::InlineTrial", "ray::ImplicitFunc", "ray::TrainController", "ray::RayTrainWorker")


def main(
    trials: Annotated[int, typer.Option(min=3, help="Trials of each sweep; the first one is left out.")] = 8,
    workers: Annotated[int, typer.Option(min=1, help="Workers of a trial.")] = 1,
    encoder: Annotated[str, typer.Option(help="As of a sweep.")] = "minilm",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the course's files; the toy corpus if not given.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of each task that a trial trains on.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 1,
    at_a_time: Annotated[list[int] | None, typer.Option(min=1, help="Trials at a time. Default: 1, then 2.")] = None,
) -> None:
    """Print memory for one and for two trials at a time, seconds for one, and for two how busy the slots were."""
    for concurrent in at_a_time or (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            space = _space(trials=trials, workers=workers, encoder=encoder, data=data, concurrent=concurrent)
            space["fixed"] |= {"data.max_train_rows": rows, "epochs": epochs}
            sweep, peak_mib = _run(Path(folder), space)
        typer.echo(f"{concurrent} at a time: {peak_mib:.0f} MiB in the trials' processes at their highest")
        if concurrent > 1:
            whole, once_full = busy_share(sweep, concurrent), busy_share(sweep, concurrent, once_full=True)
            later = "never all of them" if once_full is None else f"{once_full:.2f} once all had been"
            typer.echo(f"slots busy: {whole:.2f} of the time from the first trial to the last, {later}")
        if concurrent == 1:
            gaps = gaps_of(sweep)
            typer.echo(
                f"seconds a trial beside training and scoring, after the first: median {statistics.median(gaps):.2f}, "
                f"{min(gaps):.2f} to {max(gaps):.2f} ({len(gaps)} trials)"
            )


def _space(*, trials: int, workers: int, encoder: str, data: Path | None, concurrent: int) -> dict[str, Any]:
    """Return the search space of a sweep."""
    source = {} if data is None else {"data.source": "course", "data.directory": str(data.resolve())}
    return {
        "name": "overhead",
        "objectives": {
            "dev_score": {"direction": "maximize", "reference": 0},
            "train_seconds": {"direction": "minimize", "reference": 1000},
        },
        "fixed": {"encoder": encoder, **source, "data.max_train_rows": 64, "data.max_dev_rows": 32, "epochs": 1},
        "search": {"learning_rate": {"grid": [(number + 1) * 1e-5 for number in range(trials)]}},
        "algorithm": "grid",
        "scheduler": "fifo",
        "resources": {
            "num_workers": workers,
            "cpus_per_worker": 1,
            "gpus_per_worker": 0,
            "concurrent_trials": concurrent,
        },
    }


def gaps_of(sweep: Sweep) -> list[float]:
    """Return for each trial but the first the time from the end of the one before to its own, less its own work."""
    ended = sorted((trial.ended or 0.0, trial) for trial in sweep.trials if trial.status == "finished")
    assert len(ended) == len(sweep.trials), "every trial must finish"
    return [
        end - before - float(trial.metrics["train_seconds"] or 0.0) - float(trial.metrics["eval_seconds"] or 0.0)
        for (before, _), (end, trial) in pairwise(ended)
    ]


def busy_share(sweep: Sweep, slots: int, *, once_full: bool = False) -> float | None:
    """Return the share of the slots' time in which they had a trial that trained or scored.

    The time is that from the first trial's work to the last one's; or, `once_full`, from when all slots were busy for
    the first time until a slot was busy for the last time that another trial was to come. None if they never were.
    """
    work = sorted(_work_of(trial) for trial in sweep.trials)
    begin, end = work[0][0], max(stop for _, stop in work)
    if once_full:
        full = [start for start, _ in work if sum(a <= start < b for a, b in work) >= slots]
        if not full:
            return None
        begin, end = full[0], work[-1][0]
    busy = sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in work)
    return busy / (slots * (end - begin))


def _work_of(trial: Trial) -> tuple[float, float]:
    """Return when a trial's own work began and ended; before that it may have waited for a process."""
    assert trial.status == "finished" and trial.ended is not None, "every trial must finish"
    seconds = sum(float(trial.metrics[name] or 0.0) for name in ("train_seconds", "eval_seconds"))
    return trial.ended - seconds, trial.ended


def _run(folder: Path, space: dict[str, Any]) -> tuple[Sweep, float]:
    """Run a sweep; return its record and the highest memory of its trials' processes together, in MiB."""
    YAML().dump(space, folder / "overhead.yaml")
    log, peak = folder / "sweep.log", 0.0
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mtbert_ray.sweep", folder / "overhead.yaml", "--out", folder / "out"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            peak = max(peak, sum(map(_unique_mib, psutil.Process(process.pid).children(recursive=True))))
            time.sleep(0.2)
    if process.returncode != 0:
        typer.echo(f"the sweep ended with {process.returncode}:\n{log.read_text()}", err=True)
        raise typer.Exit(process.returncode)
    return read_journal(folder / "out"), peak


def _unique_mib(process: psutil.Process) -> float:
    try:
        title = " ".join(process.cmdline())
        return process.memory_full_info().uss / 2**20 if title.startswith(_TRIAL_PROCESSES) else 0.0
    except psutil.Error:  # It ended meanwhile.
        return 0.0


if __name__ == "__main__":
    typer.run(main)
