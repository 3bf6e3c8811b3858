"""How long a sweep will take, from what the trials of earlier sweeps took; for a dry run."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

from mtbert_ray.errors import JournalError
from mtbert_ray.journal import JOURNAL_NAME, read_journal
from mtbert_ray.pareto.comparison import compare
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.reporting.wording import counted, duration, joined
from mtbert_ray.study.request import SweepRequest
from mtbert_ray.trial import Sweep


def time_estimate(request: SweepRequest, plan: Plan) -> str:
    """Return the time that a sweep will take, as a line, or why it cannot be estimated.

    Taken from finished trials of the sweep that is resumed, of `warm_start_from`, or of the newest sweep of the same
    name next to the output folder; by the epoch, as lengths differ.
    """
    for folder, sweep in _earlier(request):
        per_epoch = [
            (trial.ended - trial.started) / trial.num_epochs
            for trial in sweep.trials
            if trial.status == "finished" and trial.ended is not None
        ]
        if not per_epoch:
            continue
        epochs = mean(config.epochs for config in plan.space.example_configs())
        each = median(per_epoch) * epochs
        source = f"as the median of {counted(len(per_epoch), 'finished trial')} of {folder}"
        left = request.num_left
        if left is None:
            return f"time: about {duration(each)} a trial, {source}"
        stopping = "; less with early stopping" if left and plan.space.scheduler != "fifo" else ""
        parts = [f"about {duration(_rounds(left, plan) * each)} for {counted(left, 'trial')}"] if left else []
        parts += _reruns(request, plan, sweep, each=each, epochs=epochs, where=folder)
        return f"time: {joined(parts)}, {source}{stopping}"
    return "time: unknown, as there is no earlier sweep to go by; --trials 1 tells how long a trial takes"


def _rounds(number: int, plan: Plan) -> int:
    return -(-number // plan.concurrent_trials)


def _reruns(
    request: SweepRequest, plan: Plan, sweep: Sweep, *, each: float, epochs: float, where: Path
) -> Iterator[str]:
    """Yield the time of the reruns: those that are left, or of a front as large as that of the sweep gone by."""
    if request.earlier is None and plan.space.repeats:
        size = len(compare(sweep.trials, sweep.started.objectives).front)
        if size == 0:
            return
        time = duration(_rounds(plan.space.repeats * size, plan) * each)
        yield f"then {time} for {counted(plan.space.repeats, 'repeat')} of a front of {size}, as {where} has"
    repeats = sum(one.purpose == "repeat" for one in request.reruns)
    if repeats:
        yield f"about {duration(_rounds(repeats, plan) * each)} for {counted(repeats, 'repeat')}"
    if alone := len(request.reruns) - repeats:
        # An epoch each, one after another.
        yield f"about {duration(alone * each / epochs)} for {counted(alone, 'remeasurement')}"


def _earlier(request: SweepRequest) -> Iterator[tuple[Path, Sweep]]:
    """Yield sweeps to go by, the nearest first."""
    if request.earlier is not None:
        yield request.folder, request.earlier
    same_name = [path.parent for path in request.folder.parent.glob(f"{request.space.name}*/{JOURNAL_NAME}")]
    newest = sorted(same_name, key=lambda folder: (folder / JOURNAL_NAME).stat().st_mtime, reverse=True)
    for folder in [*map(Path, request.space.warm_start_from), *newest]:
        try:
            sweep = read_journal(folder)
        except JournalError:
            continue  # Not what this dry run is about.
        if sweep.started.name == request.space.name or str(folder) in request.space.warm_start_from:
            yield folder, sweep
