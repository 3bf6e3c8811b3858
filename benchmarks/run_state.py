"""What it costs that a trial can continue: saving its state after an epoch, and loading it again.

Run: python benchmarks/run_state.py --data DIR
     (DIR: the course's files; without it, the toy corpus)

Each round trains one epoch without a state and one with it, saves the state of full fine-tuning, and restores a run
from it. Wall time, as a disk is waited for; memory is the peak of the resident size over the training's own. Last, a
run of two epochs reports its peak from a fresh process, undisturbed and restored after its first epoch.
"""

import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
import typer
from mistakes import told_to_the_user

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.resources.meter import Meter
from mtbert_ray.training.inputs import RememberedInputs
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.metering import metered_epochs
from mtbert_ray.training.process import local_process
from mtbert_ray.training.run_state import RunState


def main(
    data: Annotated[Path | None, typer.Option(help="Folder of the course's files.")] = None,
    encoder: Annotated[str, typer.Option(help="As in a trial's configuration.")] = "minilm",
    rows: Annotated[int, typer.Option(min=1, help="Training rows a task.")] = 1000,
    dev_rows: Annotated[int, typer.Option(min=2, help="Rows a task that are scored.")] = 250,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print the size of a state, the medians of an epoch, of saving and of loading, and their shares."""
    fixed: dict[str, Any] = {
        "encoder": encoder,
        "epochs": 2,
        "data.max_train_rows": rows,
        "data.max_dev_rows": dev_rows,
        **({} if data is None else {"data.source": "course", "data.directory": str(data)}),
    }
    config, load = TrialConfig.model_validate(nest(fixed)), RememberedInputs()
    process = local_process(config.resources)
    saving, restoring, epochs, grown = [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = TrainingRun(config, process=process, load=load, state=RunState(Path(folder), config, process))
            results = metered_epochs(run)
            started = time.perf_counter()
            first = next(results)
            saved = time.perf_counter()
            run.save_state()
            saving.append(time.perf_counter() - saved)
            # The first epoch saved a state as well.
            epochs.append(saved - started - saving[-1])
            grown.append(_growth(run, first.metrics["peak_rss_gib"]))
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
            results.close()
            del run, results
            started = time.perf_counter()
            fresh = TrainingRun(config, process=process, load=load)
            built = time.perf_counter() - started
            del fresh
            started = time.perf_counter()
            restored = TrainingRun(config, process=process, load=load, state=RunState(Path(folder), config, process))
            restoring.append(time.perf_counter() - started - built)
            assert restored.progress.num_ended == 1, "the state is taken"
            del restored
    epoch, save = statistics.median(epochs), statistics.median(saving)
    typer.echo(f"state: {size / 2**20:.0f} MiB")
    typer.echo(f"an epoch of {rows} rows a task: {epoch:.2f} s ({min(epochs):.2f} to {max(epochs):.2f})")
    typer.echo(f"saving: {save:.2f} s ({min(saving):.2f} to {max(saving):.2f}), {100 * save / epoch:.2f}% of an epoch")
    typer.echo(
        f"loading, beside building the run: {statistics.median(restoring):.2f} s "
        f"({min(restoring):.2f} to {max(restoring):.2f})"
    )
    typer.echo(f"peak resident memory: {1024 * statistics.median(grown):+.0f} MiB while a state is saved")
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = _in_fresh_process(config, Path(folder) / "undisturbed", 2)
        _in_fresh_process(config, Path(folder) / "restored", 1)
        restored_peak = _in_fresh_process(config, Path(folder) / "restored", 2)
    typer.echo(
        f"peak_rss_gib of two epochs: {undisturbed:.3f} undisturbed, {restored_peak:.3f} restored after the first"
    )


def _in_fresh_process(config: TrialConfig, folder: Path, num_epochs: int) -> float:
    """Return the peak_rss_gib that a run reports at the end of an epoch; it continues from the folder's state."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_gib, config.model_dump_json(), folder, num_epochs).result()


def _peak_gib(config_text: str, folder: Path, num_epochs: int) -> float:
    torch.set_num_threads(1)
    config = TrialConfig.model_validate_json(config_text)
    process = local_process(config.resources)
    run = TrainingRun(config, process=process, state=RunState(folder, config, process))
    for result in metered_epochs(run):
        if result.metrics["epoch"] == num_epochs:
            peak = result.metrics["peak_rss_gib"]
            assert isinstance(peak, float)
            return peak
    raise AssertionError(f"the run has no epoch {num_epochs}")


def _growth(run: TrainingRun, peak_gib: object) -> float:
    """Return by how much saving a state raises the peak of a run's resident memory, in GiB."""
    assert isinstance(peak_gib, float)
    with Meter(None, interval_seconds=0.01) as meter:
        run.meter_state = dict
        run.save_state()
        return meter.usage().peak_rss_gib - max(peak_gib, psutil.Process().memory_info().rss / 2**30)


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(told_to_the_user()(main))
