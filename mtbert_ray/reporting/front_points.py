"""Puts each point of the front into words: its values, what it gives up and for what, the commands to get it.

Knows nothing of HTML, Markdown and files.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from mtbert_ray.pareto.front import TradeOff, trade_offs
from mtbert_ray.reporting.outcome import Outcome, setting_of
from mtbert_ray.reporting.wording import difference, joined, quantity


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One trial on the front, and what a reader needs to choose it."""

    trial_id: str
    setting: str
    values: tuple[str, ...]
    """One an objective, with units."""
    bargains: tuple[str, ...]
    """What it gives up against the best of each objective, and what it has for it."""
    is_knee: bool
    train_command: str
    predict_command: str | None
    """None when the trial kept no checkpoint."""


def front_points(outcome: Outcome, folder: Path) -> tuple[FrontPoint, ...]:
    """Return the points of the front, the best in the first objective first.

    Args:
        outcome: the sweep's.
        folder: the sweep's folder as commands should name it.
    """
    bargains = trade_offs(outcome.front_losses) if outcome.front else []
    return tuple(
        FrontPoint(
            trial_id=trial.trial_id,
            setting=setting_of(trial, outcome.sweep),
            values=values,
            bargains=tuple(_bargain(bargain, outcome) for bargain in own) or ("nothing: it is the best in everything",),
            is_knee=trial is outcome.knee,
            train_command=_command("train", "--config", folder / "trials" / trial.trial_id / "config.yaml"),
            predict_command=_command("predict", folder / trial.checkpoint) if trial.checkpoint else None,
        )
        for trial, values, own in zip(outcome.front, front_values(outcome), bargains, strict=True)
    )


def front_values(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return each front point's values, one an objective, with units."""
    return [tuple(quantity(name, trial.metrics[name]) for name in outcome.objectives) for trial in outcome.front]


def _bargain(bargain: TradeOff, outcome: Outcome) -> str:
    """Say one TradeOff: "0.012 less dev score than t3, for 1.90 GiB less peak memory"."""
    parts = [
        (index, difference(name, objective.direction, loss), loss)
        for index, ((name, objective), loss) in enumerate(
            zip(outcome.objectives.items(), bargain.differences, strict=True)
        )
    ]
    gained = [text for _, text, loss in parts if loss < 0]
    also_lost = [text for index, text, loss in parts if loss > 0 and index != bargain.objective]
    given_up = joined([parts[bargain.objective][1], *also_lost])
    return f"{given_up} than {outcome.front[bargain.best].trial_id}, for {joined(gained)}"


def _command(module: str, *arguments: str | Path) -> str:
    words = [argument.as_posix() if isinstance(argument, Path) else argument for argument in arguments]
    return shlex.join(["python", "-m", f"mtbert_ray.{module}", *words])
