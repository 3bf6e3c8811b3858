"""Sweeps that are begun, told of by hand in place of Ray, and gone on with."""

from pathlib import Path

from mtbert_ray.ray_backend.beginning import Beginning, begin, resume
from mtbert_ray.ray_backend.for_ray import SpaceSearcher

from mtbert_ray.events import EpochFinished, TrialFinished, TrialStarted
from mtbert_ray.journal import Journal
from mtbert_ray.ray_backend.capacity import Capacity, Node
from mtbert_ray.ray_backend.plan import Plan, make_plan
from mtbert_ray.study.space import load_search_space

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
LAPTOP = Capacity(nodes=(Node(cpus=2, gpus=0),))


def plan_of(folder: Path, algorithm: str = "front", *, text: str = SPACE, **changes: object) -> Plan:
    path = folder / "space.yaml"
    path.write_text(text.replace("ALGORITHM", algorithm))
    space = load_search_space(path).model_copy(update=changes)
    return make_plan(space, LAPTOP, own_cluster=True)


def begun(plan: Plan, folder: Path) -> Beginning:
    """The beginning of a session that is killed at once: nobody else is kept from the folder."""
    with begin(plan, folder, space_file=folder.parent / "space.yaml") as beginning:
        return beginning


def resumed(plan: Plan, folder: Path) -> Beginning:
    with resume(plan, folder) as beginning:
        return beginning


def start(plan: Plan, folder: Path, trial_id: str, values: dict) -> Journal:
    journal = Journal.reopen(folder)
    config = plan.space.trial_config(values).model_dump(mode="json")
    journal.append(TrialStarted(trial_id=trial_id, hyperparameters=dict(values), config=config))
    return journal


def finish(plan: Plan, folder: Path, trial_id: str, values: dict) -> None:
    journal = start(plan, folder, trial_id, values)
    run_epochs(journal, trial_id, [0.5] * plan.space.trial_config(values).epochs, 10.0)
    journal.append(TrialFinished(trial_id=trial_id))


def asked_of(beginning: Beginning, plan: Plan) -> list[tuple[str, dict]]:
    """What Ray would be given to run, to the end."""
    searcher = SpaceSearcher(
        plan.space,
        beginning.searcher,
        plan.objectives,
        first=beginning.first,
        num_known=beginning.num_known,
        next_number=beginning.next_number,
    )
    suggested = iter(lambda: searcher.suggest("ray's id"), "FINISHED")
    return [(one["trial_id"], one["values"]) for one in suggested]


def run_epochs(journal: Journal, trial_id: str, scores: list[float], seconds: float) -> None:
    for number, score in enumerate(scores, start=1):
        metrics = {"epoch": number, "sst": score, "dev_score": score, "train_seconds": number * seconds}
        journal.append(EpochFinished(trial_id=trial_id, metrics=metrics))
