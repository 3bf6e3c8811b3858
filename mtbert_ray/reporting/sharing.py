"""What else kept a trial's machine busy while it trained: its GPU, its CPUs, and what of that was not this sweep's."""

from collections.abc import Iterator

import numpy as np

from mtbert_ray.metrics import Metrics
from mtbert_ray.reporting.wording import counted
from mtbert_ray.trial import Sweep

# N trials and reruns

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


def cpus_beyond_sweep(sweep: Sweep) -> dict[str, float]:
    """Return finished trial -> how many CPUs were kept busy by processes that are not this sweep's.

    The CPU time of the sweep's trials that ran meanwhile is taken off, as if spent evenly and wherever they ran: a
    journal does not tell the nodes of trials, so on several nodes this is a lower bound. Trials of several attempts,
    and those beside such a trial or one that has not ended, are left out: when it took its CPU time is not known.
    """
    trials = sweep.all_trials
    ends_N = np.array([np.inf if trial.ended is None else trial.ended for trial in trials])
    starts_N = np.array([trial.started for trial in trials])
    seconds_N = np.maximum(ends_N - starts_N, 1e-9)
    is_clear_N = np.array([trial.ended is not None and trial.attempts == 1 for trial in trials], dtype=np.bool_)
    metrics = [trial.metrics for trial in trials]
    rates_N = np.array([each.get("cpu_seconds") or 0.0 for each in metrics]) / seconds_N
    found = {}
    for place, trial in enumerate(trials):
        others = metrics[place].get("others_cpus")
        if others is None or trial.status != "finished" or not is_clear_N[place]:
            continue
        shared_N = np.maximum(0.0, np.minimum(ends_N, ends_N[place]) - np.maximum(starts_N, starts_N[place]))
        shared_N[place] = 0.0
        if is_clear_N[shared_N > 0].all():
            found[trial.trial_id] = max(0.0, others - float(shared_N @ rates_N) / float(seconds_N[place]))
    return found


def sharing_notes(sweep: Sweep) -> Iterator[str]:
    """Yield a warning where the machine was busy beyond this sweep."""
    beyond = {trial_id: cpus for trial_id, cpus in cpus_beyond_sweep(sweep).items() if cpus >= BUSY_CPUS}
    if beyond:
        most = max(beyond, key=lambda trial_id: beyond[trial_id])
        yield (
            f"The machine was busy beyond this sweep: during {counted(len(beyond), 'trial')} other processes kept "
            f"{BUSY_CPUS} CPUs or more busy ({most}: {beyond[most]:.1f}). Their times and CPU time may be too high; "
            "`sweep --resume FOLDER --remeasure front` measures the front again."
        )
