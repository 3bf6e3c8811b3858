"""Failed and stopped trials in the report: status, cause and the text of the failure."""

from dataclasses import dataclass
from typing import Literal

from mtbert_ray.errors import DivergedError
from mtbert_ray.events import StopKind
from mtbert_ray.reporting.outcome import config_text
from mtbert_ray.reporting.wording import duration
from mtbert_ray.trial import Sweep, Trial

_STOPPED_BY: dict[StopKind | None, str] = {
    None: "",
    "rung": "rank at a rung",
    "probe": "costs at the probe",
    "constraint": "a constraint",
    "memory": "out of memory",
    "sweep": "the sweep's end",
    "remeasured": "the end of its measurement",
}


@dataclass(frozen=True, kw_only=True)
class EndedEarly:
    """A trial that failed or was stopped."""

    trial_id: str
    config: str
    epochs: int
    """Epochs that it finished."""
    train_time: str
    cause: str
    reason: str
    """The text of the failure, or why it was stopped."""


def failure_text(cause: BaseException | None) -> str:
    """Return why a trial failed, in one line without traces; None stands for a process that died."""
    if cause is None:
        return "the trial's process died without an error of its own (killed, perhaps for memory)"
    if isinstance(cause, DivergedError):
        return str(cause)  # Its kind says that it diverged.
    # A file name that is not UTF-8 comes as lone surrogates, which no journal can hold.
    text = str(cause).encode(errors="backslashreplace").decode()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(cause).__name__}: {'; '.join(lines[:3])}" if lines else type(cause).__name__


def ended_early(sweep: Sweep, status: Literal["failed", "stopped"]) -> tuple[EndedEarly, ...]:
    """Return the trials and reruns that failed, or were stopped before their last epoch; not those measured alone."""
    return tuple(
        EndedEarly(
            trial_id=trial.trial_id,
            config=config_text(trial, sweep),
            epochs=len(trial.epochs),
            train_time="" if (seconds := trial.metrics.get("train_seconds")) is None else duration(seconds),
            cause="divergence" if trial.failure_kind == "diverged" else _STOPPED_BY[trial.stop_kind],
            reason=trial.reason or "no reason was recorded",
        )
        for trial in sweep.all_trials
        if trial.status == status and trial.stop_kind != "remeasured"
    )


def status_of(trial: Trial, sweep: Sweep) -> str:
    """Return a trial's status, `interrupted` for one that still ran when the sweep ended, `failed (diverged)`."""
    return "interrupted" if trial.status == "running" and sweep.finished is not None else trial.status_in_words


def reason_of(trial: Trial) -> str | None:
    """Return why a trial ended early and why its scores have no value; none where neither is so."""
    return "; ".join([*([] if trial.reason is None else [trial.reason]), *trial.without_value]) or None


def failed_count(sweep: Sweep) -> str:
    """Return how many trials failed: "3 (1 diverged)"."""
    kinds = [trial.failure_kind for trial in sweep.trials if trial.status == "failed"]
    diverged = kinds.count("diverged")
    return f"{len(kinds)} ({diverged} diverged)" if diverged else str(len(kinds))


def failure_notes(sweep: Sweep) -> list[str]:
    """Return a note for each reason why GPU metrics or scores have no value, with the trials that share it."""
    gpu: dict[str, list[str]] = {}
    scores: dict[str, list[str]] = {}
    for trial in sweep.all_trials:
        if trial.gpu_problem is not None:
            gpu.setdefault(trial.gpu_problem, []).append(trial.trial_id)
        for text in trial.without_value:
            scores.setdefault(text, []).append(trial.trial_id)
    return [
        *(f"GPU metrics are not known for {', '.join(ids)}: {problem}." for problem, ids in gpu.items()),
        *(f"{', '.join(ids)}: {text}." for text, ids in scores.items()),
    ]
