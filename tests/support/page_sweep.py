"""A sweep for tests of the page: its journal, and what others would judge of it, made up but the same each time."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from mtbert_ray.config import TrialConfig, nest
from mtbert_ray.events import EpochFinished, SweepFinished, SweepStarted, TrialFailed, TrialFinished, TrialStarted
from mtbert_ray.events import TrialStopped as Stopped
from mtbert_ray.journal import Journal, read_journal
from mtbert_ray.metrics import Objective, task_scores
from mtbert_ray.reporting.content import content_of
from mtbert_ray.reporting.outcome import Outcome, outcome_of
from mtbert_ray.reporting.page import page_html
from mtbert_ray.reporting.uncertainty import uncertainty_of
from mtbert_ray.reporting.view import view_of
from mtbert_ray.reporting.view_judgement import Judgement
from mtbert_ray.study.space import SearchSpace
from mtbert_ray.study.space.parameters import Choice, FloatRange, IntRange

DESKTOP, PHONE = (1280, 800), (390, 844)
"""Widths and heights of a browser."""
START = 1_800_000_000.0
OBJECTIVES = {
    "dev_score": Objective(direction="maximize", reference=0.3),
    "peak_memory_gib": Objective(direction="minimize", reference=12.0, constraint=9.0),
    "train_seconds": Objective(direction="minimize", reference=7200.0),
}
SEARCH = {
    "adapter.kind": Choice(values=("none", "lora", "dora")),
    "finetune": Choice(values=("full", "heads_only"), when={"adapter.kind": ("none",)}),
    "adapter.rank": IntRange(low=2, high=64, log=True, when={"adapter.kind": ("lora", "dora")}),
    "learning_rate": FloatRange(kind="loguniform", low=1e-5, high=3e-3),
    "batch_size": Choice(values=(8, 16, 32)),
    "dropout": FloatRange(kind="uniform", low=0, high=0.5),
}
_MEMORY_GIB = {"heads_only": 1.4, "full": 7.5, "lora": 4.2, "dora": 4.9}
_SECONDS = {"heads_only": 60, "full": 300, "lora": 240, "dora": 330}


def write_sweep(
    folder: Path,
    num_trials: int = 40,
    *,
    objectives=OBJECTIVES,
    epochs: int = 4,
    name: str = "budget",
    question: str | None = "Does training the whole encoder pay?",
    ends: str = "as they come",
    hostile: str | None = None,
    finishes: bool = True,
) -> Path:
    """Write a journal; with `hostile` that text is in every name, reason and value that may hold any."""
    rng = random.Random(5)
    search = dict(SEARCH)
    space = SearchSpace(
        name=name, question=hostile or question, objectives=objectives, search=search, trials=num_trials or None
    )
    journal = Journal(folder)
    journal.append(
        SweepStarted(
            time=START,
            name=hostile or name,
            space=space.model_dump(mode="json"),
            objectives=objectives,
            hyperparameters=(*search, *(["data.source"] if hostile else [])),
            tasks=("sst", "quora", "sts"),
            num_trials=num_trials,
            seed=7,
            versions={"torch": hostile or "2.13.0"},
            git_revision="58ddc69",
            hardware={"cluster": "1 node: 16 CPUs, 2 GPUs"},
            notes=(hostile or "Dev scores come from at most 1000 rows a task.",),
        )
    )
    clock = START
    for number in range(num_trials):
        clock = _write_trial(journal, rng, f"t{number:03d}", clock, epochs, ends, hostile)
    if finishes:
        journal.append(SweepFinished(time=clock, reason="completed"))
    return folder


def _drawn(rng: random.Random) -> dict:
    kind = rng.choice(["none", "lora", "dora"])
    drawn = {"adapter.kind": kind}
    if kind == "none":
        drawn["finetune"] = rng.choice(["full", "heads_only"])
    else:
        drawn["adapter.rank"] = round(2 * 32 ** rng.random())
    rate = 10 ** rng.uniform(-5, -2.53)
    return drawn | {"learning_rate": rate, "batch_size": rng.choice([8, 16, 32]), "dropout": rng.uniform(0, 0.5)}


def _write_trial(journal, rng, trial_id, clock, epochs, ends, hostile):
    drawn = _drawn(rng)
    config = TrialConfig.model_validate(nest({"epochs": epochs, **drawn}))
    shown = drawn | ({"data.source": f"{hostile} {rng.randrange(3)}"} if hostile else {})
    journal.append(
        TrialStarted(time=clock, trial_id=trial_id, hyperparameters=shown, config=config.model_dump(mode="json"))
    )
    method = drawn.get("finetune", drawn["adapter.kind"])
    top = 0.72 - 0.05 * abs(math.log10(drawn["learning_rate"]) + 3.5) - (0.12 if method == "heads_only" else 0)
    memory = _MEMORY_GIB[method] * (0.6 + drawn["batch_size"] / 40) + rng.gauss(0, 0.05)
    seconds = _SECONDS[method] * rng.uniform(0.8, 1.2)
    dice = rng.random() if ends == "as they come" else {"failed": 0.0, "finished": 1.0}[ends]
    done = epochs if dice >= 0.2 else 1
    for epoch in range(1, done + 1):
        score = top * (1 - 0.35 * math.exp(-epoch / 2)) + rng.gauss(0, 0.004)
        scores = task_scores(config.tasks, {"sst": score - 0.2, "quora": score + 0.1, "sts": score + 0.1})
        costs = {"peak_memory_gib": memory, "train_seconds": seconds * epoch, "gpu_seconds": seconds * epoch}
        marks = {"gpu_shared": int(rng.random() < 0.2), "train_loss": 1 / epoch, "energy_kj": seconds / 4}
        metrics = {**scores, **costs, **marks, "epoch": epoch, "step": 100 * epoch}
        journal.append(EpochFinished(time=clock + seconds * epoch, trial_id=trial_id, metrics=metrics))
    clock += seconds * done
    if dice < 0.05:
        journal.append(TrialFailed(time=clock, trial_id=trial_id, reason=hostile or "OutOfMemoryError: 2 GiB"))
    elif dice < 0.2:
        journal.append(Stopped(time=clock, trial_id=trial_id, reason=hostile or "epoch 1: dominated", kind="rung"))
    else:
        kept = f"trials/{trial_id}/checkpoint"
        journal.append(TrialFinished(time=clock, trial_id=trial_id, checkpoint=kept))
    return clock


def made_up_judgement(outcome: Outcome, text: str = "It is so.") -> Judgement:
    """Return a judgement that has everything, for an outcome with a front of two or more."""
    names = list(outcome.objectives)
    values_NM = np.array([[trial.metrics[name] for name in names] for trial in outcome.compared], dtype=float)
    errors_NM = np.full(values_NM.shape, np.nan)
    errors_NM[:, 0] = 0.01
    front = [trial.trial_id for trial in outcome.front]
    unknown = uncertainty_of(outcome, None, num_draws=10)
    variance_NN = 1e-4 * np.eye(len(values_NM))
    of_score = replace(unknown.noises[0], covariance=variance_NN, yardstick=variance_NN, source="dev rows")
    uncertainty = replace(
        unknown,
        critical=3.0,
        noises=(of_score, *unknown.noises[1:]),
        standard_errors=errors_NM,
        intervals=np.stack([values_NM - 1.96 * errors_NM, values_NM + 1.96 * errors_NM], axis=-1),
        sources=("dev rows", *["not known"] * (len(names) - 1)),
        front_probability=np.where(outcome.on_front, 0.8, 0.1),
        may_be_on_front=outcome.on_front | (np.arange(len(values_NM)) % 7 == 0),
        tolerance=np.full(len(names), 0.01),
        as_good_as={front[1]: front[0]},
        notes=(text,),
    )
    hyperparameters = outcome.sweep.started.hyperparameters
    shares = {name: (0.1 * place, 0.05 * place, 0.15 * place) for place, name in enumerate(hyperparameters)}
    return Judgement(
        uncertainty=uncertainty,
        recommendations=(
            {"title": "best score", "trial": front[0], "reason": text},
            {"title": "cheapest that keeps 95%", "trial": front[-1], "reason": text},
            {"title": "bend", "trial": None, "reason": "no bend"},
        ),
        choices=({"choice": "full", "verdict": text},),
        warnings={front[-1]: (text,)},
        importance=dict.fromkeys((*names, "on_front"), shares),
    )


def write_page(folder: Path, *, judged: bool = False, text: str = "It is so.") -> Path:
    """Write the page of a journal's folder, without the report's other files."""
    outcome = outcome_of(read_journal(folder))
    judgement = made_up_judgement(outcome, text) if judged else None
    page = folder / "index.html"
    page.write_text(page_html(view_of(outcome, content_of(outcome, folder), folder, judgement=judgement)))
    return page
