"""Puts each point of the front into words: its values, what it gives up and for what, the commands to get it.

Knows nothing of HTML, Markdown and files.
"""

import shlex
from collections.abc import Sequence
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
    """What it gives up and has for it, a sentence for each trial that is the best in some objective."""
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
            bargains=_bargains(own, outcome) or ("nothing: it is the best in everything",),
            is_knee=trial is outcome.knee,
            train_command=_command("train", "--config", folder / "trials" / trial.trial_id / "config.yaml"),
            predict_command=_command("predict", folder / trial.checkpoint) if trial.checkpoint else None,
        )
        for trial, values, own in zip(outcome.front, front_values(outcome), bargains, strict=True)
    )


def front_values(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return each front point's values, one an objective, with units."""
    return [tuple(quantity(name, trial.metrics[name]) for name in outcome.objectives) for trial in outcome.front]


def _bargains(trade_offs_of_point: Sequence[TradeOff], outcome: Outcome) -> tuple[str, ...]:
    """Say each trade once: a trial that is the best in several objectives stands in a TradeOff of each of them."""
    by_best = {trade_off.best: trade_off for trade_off in trade_offs_of_point}
    return tuple(_bargain(trade_off, outcome) for trade_off in by_best.values())


def _bargain(trade_off: TradeOff, outcome: Outcome) -> str:
    """Say one TradeOff: "0.012 less dev score than t3, for 1.90 GiB less peak memory"."""
    parts = [
        (difference(name, objective.direction, loss), loss)
        for (name, objective), loss in zip(outcome.objectives.items(), trade_off.differences, strict=True)
    ]
    given_up = joined([text for text, loss in parts if loss > 0])
    gained = joined([text for text, loss in parts if loss < 0])
    return f"{given_up} than {outcome.front[trade_off.best].trial_id}, for {gained}"


def _command(module: str, *arguments: str | Path) -> str:
    words = [argument.as_posix() if isinstance(argument, Path) else argument for argument in arguments]
    return shlex.join(["python", "-m", f"mtbert_ray.{module}", *words])
