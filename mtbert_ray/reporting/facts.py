"""What a report says of the sweep as a whole: how much was run in what time, and what the reader must know of it.

Knows nothing of HTML, Markdown and files.
"""

from collections.abc import Iterator

from mtbert_ray.pareto.objectives import best_values, reference_losses, unreached_references
from mtbert_ray.records import SweepRecord
from mtbert_ray.reporting.outcome import Outcome, status_of
from mtbert_ray.reporting.sessions import last_heard_of, moment, seconds_run, session_notes
from mtbert_ray.reporting.wording import counted, duration, plain_name, quantity


def facts_of(sweep: SweepRecord) -> tuple[tuple[str, str], ...]:
    """Return names and values: tasks, how many trials came to what, epochs spared, time, seed."""
    started = sweep.started
    counts: dict[str, int] = {}
    for trial in sweep.trials:
        status = status_of(trial, sweep)
        counts[status] = counts.get(status, 0) + 1
    planned = "as the time allows" if sweep.num_trials is None else str(sweep.num_trials)
    others = [
        ("stopped early" if status == "stopped" else status, str(counts[status]))
        for status in ("stopped", "running", "interrupted")
        if status in counts
    ]
    return (
        ("tasks", ", ".join(started.tasks)),
        ("trials planned", planned),
        ("finished", str(counts.get("finished", 0))),
        ("failed", _failed(sweep)),
        *others,
        *_epochs_trained(sweep),
        ("wall time", _wall_time(sweep)),
        ("seed", str(started.seed)),
        ("started", moment(started.time)),
    )


def notes_of(outcome: Outcome) -> tuple[str, ...]:
    """Return a sentence for each thing that could mislead whoever does not know it."""
    notes = [*outcome.sweep.started.notes, *session_notes(outcome.sweep)]
    if outcome.sweep.finished is None:
        notes.append(
            "The journal has no end: the sweep is still running, or it was killed. This is what it knew at the time."
        )
    if outcome.sweep.torn:
        notes.append("The journal's last line was cut off while it was written; its event is not in this report.")
    by_problem: dict[str, list[str]] = {}
    for trial in outcome.sweep.trials:
        if trial.gpu_problem is not None:
            by_problem.setdefault(trial.gpu_problem, []).append(trial.trial_id)
    for problem, trial_ids in by_problem.items():
        notes.append(f"GPU metrics are not known for {', '.join(trial_ids)}: {problem}.")
    notes += _without_value(outcome.sweep)
    compared = {trial.trial_id for trial in outcome.compared}
    unmeasured = sum(
        trial.status == "finished" and trial.trial_id not in compared and not trial.without_value
        for trial in outcome.sweep.trials
    )
    if outcome.objectives and unmeasured:
        notes.append(f"{counted(unmeasured, 'finished trial')} could not be compared: an objective was not measured.")
    if gaps := _gaps_to_reference(outcome):
        yet = "" if outcome.sweep.finished else " yet"
        notes.append(f"No trial is better than the reference{yet}, so the hypervolume is 0: {'; '.join(gaps)}.")
    elif outcome.front and not (outcome.front_losses < reference_losses(outcome.objectives)).all(axis=1).any():
        notes.append("No trial on the front is better than the reference in every objective.")
    return tuple(notes)


def _failed(sweep: SweepRecord) -> str:
    kinds = [trial.failure_kind for trial in sweep.trials if trial.status == "failed"]
    diverged = kinds.count("diverged")
    return f"{len(kinds)} ({diverged} diverged)" if diverged else str(len(kinds))


def _without_value(sweep: SweepRecord) -> Iterator[str]:
    """Yield which scores have no value and why, with the trials that share it."""
    trials: dict[str, list[str]] = {}
    for trial in sweep.trials:
        for words in trial.without_value:
            trials.setdefault(words, []).append(trial.trial_id)
    for words, trial_ids in trials.items():
        yield f"{', '.join(trial_ids)}: {words}."


def _gaps_to_reference(outcome: Outcome) -> list[str]:
    objectives = outcome.objectives
    return [
        f"best {plain_name(name)} {quantity(name, value)}, reference {quantity(name, objectives[name].reference)}"
        for name, value in unreached_references(objectives, best_values(objectives, outcome.sweep.trials)).items()
    ]


def _wall_time(sweep: SweepRecord) -> str:
    wall = duration(seconds_run(sweep, last_heard_of(sweep)))
    in_sessions = f" in {len(sweep.resumed) + 1} sessions, without the pauses" if sweep.resumed else ""
    return f"{wall}{in_sessions}{'' if sweep.finished else ' so far'}"


def _epochs_trained(sweep: SweepRecord) -> tuple[tuple[str, str], ...]:
    """Return what stopping early has spared, where something was stopped early.

    A trial that the sweep's end cut off has spared nothing, and is in neither sum.
    """
    ended = [trial for trial in sweep.trials if trial.status in ("finished", "stopped") and trial.stop_kind != "sweep"]
    if all(trial.stop_kind is None for trial in ended):
        return ()
    trained = sum(len(trial.epochs) for trial in ended)
    whole = sum(int(trial.config["epochs"]) for trial in ended)
    return (("epochs trained", f"{trained} of the {whole} without early stopping ({trained / whole:.0%})"),)
