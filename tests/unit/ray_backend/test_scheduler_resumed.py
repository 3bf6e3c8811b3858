"""The scheduler of a session that goes on decides as one that lived through the same journal uninterrupted."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from begun_sweep import begun, plan_of, resumed, start
from fake_tune import FakeTrial, Run
from mtbert_ray.ray_backend.beginning import scheduler_of
from mtbert_ray.study.remaining import was_cut_off

from mtbert_ray.events import EpochFinished, TrialFailed, TrialFinished, TrialStopped
from mtbert_ray.journal import JOURNAL_NAME, read_journal
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.study.pruning.decision import MAX_DOMINATING
from mtbert_ray.trial import projection

EPOCHS = 9
VALUES = {"learning_rate": 1e-4, "hidden_layers": 0}


class Session:
    """Ray's part: every trial tells one scheduler of its epochs, in whatever order, until it is stopped or at its end.

    The rows of a trial are the metrics of its epochs.
    """

    def __init__(self, plan: Plan, scheduler=None) -> None:
        self.scheduler = scheduler or scheduler_of(plan.space, plan.objectives)
        self.run = Run(self.scheduler)
        self.config = plan.space.trial_config(VALUES).model_dump(mode="json")

    def start(self, name: str, session: int) -> None:
        trial = FakeTrial(f"{name} of session {session}", config={"trial": self.config}, name=name)
        self.run.trials[name] = trial
        self.scheduler.on_trial_add(self.run, trial)

    def epoch(self, name: str, rows: list[dict], done: int) -> str:
        """Tell of an epoch; return what becomes of the trial."""
        told = {
            f"projection/{key}": value for key, value in projection(rows[:done], ["sst"], num_epochs=EPOCHS).items()
        }
        result = {**told, "epoch": done, "done": done == EPOCHS}
        answer = self.scheduler.on_trial_result(self.run, self.run.trials[name], result)
        if answer == "STOP" or done == EPOCHS:
            self.scheduler.on_trial_complete(self.run, self.run.trials[name], result)
        return answer

    def fail(self, name: str) -> None:
        self.scheduler.on_trial_error(self.run, self.run.trials[name])


def rows_of(rng: np.random.Generator) -> list[dict]:
    """What a trial tells, from few values so that ties are met: now and then something was not measured."""
    seconds = float(rng.integers(1, 4)) * (80 if rng.random() < 0.1 else 10)  # Some will cost more than the reference.
    scores = np.maximum.accumulate(rng.integers(0, 10, EPOCHS)) / 10
    rows = []
    for number, score in enumerate(scores.tolist(), start=1):
        dev_score = None if rng.random() < 0.05 else score
        rows.append({"epoch": number, "sst": score, "dev_score": dev_score, "train_seconds": number * seconds})
    return rows


def steps(rng: np.random.Generator, names: list[str], at_once: int):
    """Yield whose turn it is, and wait to hear whether it goes on."""
    waiting, running = list(names), []
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(waiting.pop(0))
        name = running[rng.integers(len(running))]
        if not (yield name):
            running.remove(name)


def first_session(plan: Plan, folder: Path, rng: np.random.Generator) -> list[tuple[str, list[dict], int, bool]]:
    """Run twelve trials, three at once, and write the journal; return what the scheduler heard, event for event.

    The last of each event is whether the trial failed right after it.
    """
    journal, session = begun(plan, folder).journal, Session(plan)
    rows = {f"t{number:03d}": rows_of(rng) for number in range(12)}
    done, heard = dict.fromkeys(rows, -1), []
    turns = steps(rng, list(rows), at_once=3)
    name = next(turns)
    try:
        while True:
            done[name] += 1
            heard.append((name, rows[name], done[name], False))
            if done[name] == 0:
                session.start(name, 0)
                start(plan, folder, name, VALUES)
                goes_on = True
            else:
                journal.append(EpochFinished(trial_id=name, metrics=rows[name][done[name] - 1]))
                goes_on = session.epoch(name, rows[name], done[name]) == "CONTINUE" and done[name] < EPOCHS
                if not goes_on and done[name] == EPOCHS:
                    journal.append(TrialFinished(trial_id=name))
                elif not goes_on:
                    decision = session.scheduler.decisions[name]
                    journal.append(TrialStopped(trial_id=name, reason=decision.in_words(), kind=decision.kind))
                elif rng.random() < 0.03:
                    journal.append(TrialFailed(trial_id=name, reason="ValueError: no"))
                    session.fail(name)
                    heard[-1] = (name, rows[name], done[name], True)
                    goes_on = False
            name = turns.send(goes_on)
    except StopIteration:
        return heard


def cut(folder: Path, num_heard: int, target: Path) -> None:
    """Copy a journal up to the last word of so many that the scheduler heard, ends that follow at once included."""
    lines = (folder / JOURNAL_NAME).read_text().splitlines(keepends=True)
    kept, count = lines[:1], 0
    for line in lines[1:]:
        count += '"event":"epoch"' in line or '"event":"trial_started"' in line
        if count > num_heard:
            break
        kept.append(line)
    target.mkdir()
    (target / JOURNAL_NAME).write_text("".join(kept))


def in_short(session: Session, name: str) -> dict | None:
    """A decision; of who dominates it, no order: when each came to a rung is not kept."""
    decision = session.scheduler.decisions.get(name)
    if decision is None:
        return None
    all_named = decision.num_dominating <= MAX_DOMINATING
    return asdict(replace(decision, dominated_by=tuple(sorted(decision.dominated_by)) if all_named else ()))


@pytest.mark.parametrize("seed", range(4))
def test_wherever_the_journal_is_cut_off_later_trials_meet_the_same_decisions(tmp_path, seed):
    plan = plan_of(tmp_path, "random", points_to_evaluate=())
    # Some reach the best there is, so that who costs more can be ruled out before its end.
    best = plan.objectives["dev_score"].model_copy(update={"attainable": 0.9})
    plan = replace(plan, objectives={**plan.objectives, "dev_score": best})
    rng = np.random.default_rng(seed)
    heard = first_session(plan, tmp_path / "whole", rng)
    reasons = Counter()
    for num_heard in range(1, len(heard) + 1, 9):
        folder = tmp_path / f"cut-{num_heard}"
        cut(tmp_path / "whole", num_heard, folder)
        again = [trial.trial_id for trial in read_journal(folder).trials if was_cut_off(trial)]
        lived, restored = Session(plan), Session(plan, resumed(plan, folder).scheduler)
        for name, rows, done, failed in heard[:num_heard]:
            lived.start(name, 0) if done == 0 else lived.epoch(name, rows, done)
            if failed:
                lived.fail(name)
        rows = {name: rows_of(rng) for name in [*again, *(f"new{number}" for number in range(8))]}
        for session in (lived, restored):
            for name in rows:  # One that lived forgets of a trial what it told before it was started again.
                session.start(name, 1)
        done = dict.fromkeys(rows, 0)
        turns = steps(rng, list(rows), at_once=2)
        name = next(turns)
        while name is not None:
            done[name] += 1
            answers = [session.epoch(name, rows[name], done[name]) for session in (lived, restored)]
            assert answers[0] == answers[1] and in_short(lived, name) == in_short(restored, name), (num_heard, name)
            if answers[0] == "STOP":
                reasons[lived.scheduler.decisions[name].reason] += 1
            try:
                name = turns.send(answers[0] == "CONTINUE" and done[name] < EPOCHS)
            except StopIteration:
                name = None
    assert reasons["behind"] > 0 and reasons["dominated_on_cost"] > 0
