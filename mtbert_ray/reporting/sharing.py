"""What else kept a trial's machine busy while it trained: its GPU, its CPUs, and what of that was not this sweep's."""

from collections.abc import Iterator

from mtbert_ray.metrics import Metrics
from mtbert_ray.reporting.wording import counted
from mtbert_ray.trial import Sweep, Trial

BUSY_CPUS = 0.5
"""CPUs kept busy by others from which on a trial's times are marked."""


def marks_of(metrics: Metrics) -> list[str]:
    """Return why a trial's costs may be more than they are alone, a phrase each."""
    marks = []
    if metrics.get("gpu_shared"):
        marks.append("shared its GPU with other processes")
    others = metrics.get("others_cpus")
    if others is not None and others >= BUSY_CPUS:
        marks.append(f"other processes kept {others:.1f} CPUs of its node busy")
    return marks


def cpus_beyond_sweep(trial: Trial, sweep: Sweep) -> float | None:
    """Return how many CPUs were kept busy by processes that are not this sweep's; None where it is not known.

    The CPU time of the sweep's trials that ran meanwhile is taken off, wherever they ran: a journal does not tell the
    nodes of trials, so on several nodes this is a lower bound.
    """
    others = trial.metrics.get("others_cpus")
    if others is None or trial.ended is None or trial.ended <= trial.started:
        return None
    own = sum(
        _cpu_seconds_within(other, trial.started, trial.ended) for other in sweep.all_trials if other is not trial
    )
    return max(0.0, others - own / (trial.ended - trial.started))


def _cpu_seconds_within(trial: Trial, start: float, end: float) -> float:
    """Return the CPU time of a trial within a span, as if it had taken it evenly."""
    if trial.ended is None or trial.ended <= trial.started:
        return 0.0
    overlap = max(0.0, min(end, trial.ended) - max(start, trial.started))
    return (trial.metrics.get("cpu_seconds") or 0.0) * overlap / (trial.ended - trial.started)


def sharing_notes(sweep: Sweep) -> Iterator[str]:
    """Yield a warning where the machine was busy beyond this sweep."""
    beyond = {
        trial.trial_id: cpus
        for trial in sweep.all_trials
        if trial.status == "finished" and (cpus := cpus_beyond_sweep(trial, sweep)) is not None and cpus >= BUSY_CPUS
    }
    if beyond:
        most = max(beyond, key=lambda trial_id: beyond[trial_id])
        yield (
            f"The machine was busy beyond this sweep: during {counted(len(beyond), 'trial')} other processes kept "
            f"{BUSY_CPUS} CPUs or more busy ({most}: {beyond[most]:.1f}). Their times and CPU time may be too high; "
            "`sweep --resume FOLDER --remeasure front` measures the front again."
        )
