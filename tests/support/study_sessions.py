"""Studies in sessions on one journal, driven by hand in place of a backend."""

from pathlib import Path

from mtbert_ray.events import EpochFinished, TrialFailed, TrialFinished, TrialStopped
from mtbert_ray.journal import read_journal
from mtbert_ray.study.session import new_session, resumed_session
from mtbert_ray.study.space import SearchSpace, load_search_space
from mtbert_ray.study.study import Study

SPACE = """\
name: s
objectives:
  dev_score: {direction: maximize, reference: 0.0}
  train_seconds: {direction: minimize, reference: 600}
fixed: {encoder: tiny, epochs: 9, tasks: [sst]}
search: {learning_rate: {loguniform: [1e-5, 1e-2]}, hidden_layers: {choice: [0, 1, 2]}}
points_to_evaluate: [{learning_rate: 0.001, hidden_layers: 1}, {learning_rate: 0.002, hidden_layers: 2}]
algorithm: ALGORITHM
trials: 12
"""
GRID = """\
name: g
objectives: {dev_score: {direction: maximize, reference: 0.0}}
fixed: {encoder: tiny, epochs: 2, tasks: [sst]}
search: {batch_size: {grid: [4, 8, 16]}, hidden_layers: {grid: [0, 1]}}
algorithm: grid
"""


def space_of(folder: Path, algorithm: str = "front", *, text: str = SPACE, **changes: object) -> SearchSpace:
    path = folder / "written.yaml"
    path.write_text(text.replace("ALGORITHM", algorithm))
    return load_search_space(path).model_copy(update=changes)


def new_study(space: SearchSpace, folder: Path) -> Study:
    """The study of a session that is killed at once; it still writes, and nobody else is kept from the folder."""
    text = "# as written\n"
    with new_session(folder, space, space.objectives, notes=(), cluster="2 cores", space_text=text) as study:
        return study


def resumed_study(folder: Path, *, num_trials: int | None = None) -> Study:
    """As `new_study`, of another session; of as many trials as before, or so many."""
    total = num_trials or read_journal(folder).num_trials
    with resumed_session(folder, num_trials=total, space_text=None, cluster="2 cores") as study:
        return study


def start(study: Study, count: int = 1) -> list[str]:
    """Start the next trials; return their ids."""
    return [study.ask().trial_id for _ in range(count)]


def run_epochs(study: Study, trial_id: str, scores: list[float], seconds: float = 10.0) -> None:
    for number, score in enumerate(scores, start=1):
        metrics = {"epoch": number, "sst": score, "dev_score": score, "train_seconds": number * seconds}
        study.add(EpochFinished(trial_id=trial_id, metrics=metrics))


def finish(study: Study, trial_id: str, score: float = 0.5) -> None:
    run_epochs(study, trial_id, [score] * study.sweep.trial(trial_id).num_epochs)
    study.add(TrialFinished(trial_id=trial_id))


def stop(study: Study, trial_id: str, kind: str) -> None:
    study.add(TrialStopped(trial_id=trial_id, reason=f"for {kind}", kind=kind))


def fail(study: Study, trial_id: str, kind: str = "error") -> None:
    study.add(TrialFailed(trial_id=trial_id, reason="it broke", kind=kind))


def ask_all(study: Study) -> list[tuple[str, dict]]:
    """Id and values of all trials that a backend would be given to run, to the end."""
    asked = iter(study.ask, None)
    return [(one.trial_id, one.hyperparameters) for one in asked]


def num_left(study: Study) -> int | None:
    """Trials to run, those that were interrupted among them."""
    return None if study.num_trials is None else max(0, study.num_trials - study.sweep.num_ended)
