"""Further runs of the configs on the front: repeats with other seeds, then each alone for an epoch, for its costs.

They start once the search is over, so that the front is known; which ones there are follows from the sweep alone. The
searcher and the pruner hear nothing of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mtbert_ray.events import TrialStarted
from mtbert_ray.pareto.comparison import compare
from mtbert_ray.study.pruning.decision import Decision
from mtbert_ray.study.retries import must_wait
from mtbert_ray.trial import Sweep, Trial


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """One run of another trial's config."""

    trial_id: str
    of: Trial
    """The trial of the search."""
    purpose: Literal["repeat", "remeasure"]
    seed: int

    @property
    def config(self) -> dict[str, Any]:
        """The whole TrialConfig."""
        return {**self.of.config, "seed": self.seed}

    def started(self, *, time: float, attempt: int) -> TrialStarted:
        """Return the event that starts it."""
        values = self.of.hyperparameters
        return TrialStarted(
            time=time,
            trial_id=self.trial_id,
            hyperparameters={**values, "seed": self.seed} if "seed" in values else dict(values),
            config=self.config,
            attempt=attempt,
            purpose=self.purpose,
            of=self.of.trial_id,
        )


def planned(sweep: Sweep, *, repeats: int | None = None, num_remeasurements: int | None = None) -> list[Rerun]:
    """Return the reruns that a sweep comes to by the front that it has now, those that have ended included.

    All of the front get one more seed before any gets a second one. Of several remeasurements only the last is due.

    Args:
        sweep: whose front counts.
        repeats: further seeds of each, in place of the sweep's own number.
        num_remeasurements: how often each is measured alone, in place of the sweep's own number.
    """
    repeats = sweep.repeats if repeats is None else repeats
    times = sweep.num_remeasurements if num_remeasurements is None else num_remeasurements
    if repeats == times == 0:
        return []
    front = compare(sweep.trials, sweep.started.objectives).front
    found = [
        Rerun(
            trial_id=f"{trial.trial_id}-r{number}",
            of=trial,
            purpose="repeat",
            seed=(_seed_of(trial) + number) % 2**32,
        )
        for number in range(1, repeats + 1)
        for trial in front
    ]
    if times > 0:
        end = "alone" if times == 1 else f"alone{times}"
        found += [
            Rerun(trial_id=f"{trial.trial_id}-{end}", of=trial, purpose="remeasure", seed=_seed_of(trial))
            for trial in front
        ]
    return found


def without_ended(reruns: Sequence[Rerun], sweep: Sweep) -> list[Rerun]:
    """Return the reruns that have not started yet, or were interrupted."""
    return [one for one in reruns if (trial := sweep.trial(one.trial_id)) is None or trial.is_interrupted]


def remeasured(trial: Trial) -> Decision | None:
    """Return why a remeasurement ends, or None before its first epoch has."""
    if trial.num_done == 0:
        return None
    return Decision(trial=trial.trial_id, reason="remeasured", resource=trial.num_done)


class Reruns:
    """Which rerun of a sweep is next, in a session."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._planned: list[Rerun] | None = None
        """None where the front may have changed since."""
        self._again: set[str] = set()
        """Those that were interrupted, and start again in this session."""

    @property
    def planned(self) -> Sequence[Rerun]:
        """As of `planned`; none while time alone ends the search, as then it is never over."""
        if self._planned is None:
            self._planned = [] if self._sweep.num_trials is None else planned(self._sweep)
        return self._planned

    @property
    def num_ended(self) -> int:
        """How many of those planned have ended."""
        return len(self.planned) - len(without_ended(self.planned, self._sweep))

    @property
    def waiting(self) -> Collection[str]:
        """Those that were interrupted, and have not started again yet."""
        return self._again

    @property
    def started(self) -> list[Trial]:
        """Those of the planned that have started."""
        return [trial for one in self.planned if (trial := self._sweep.trial(one.trial_id)) is not None]

    def ask(self, *, time: float, running: Sequence[Trial]) -> TrialStarted | None:
        """Return the event that starts the next one; None where all have started, or none can start beside others.

        None starts while a trial of the search runs, as that may change the front. Ask where none is left to start.
        """
        if any(not trial.is_rerun for trial in running):
            return None
        for one in self.planned:
            trial = self._sweep.trial(one.trial_id)
            if trial is not None and one.trial_id not in self._again:
                continue
            if must_wait(running, alone=one.purpose == "remeasure" or (trial is not None and trial.runs_alone)):
                return None
            return one.started(time=time, attempt=1 if trial is None else trial.attempts + 1)
        return None

    def front_may_change(self) -> None:
        """Take note that something happened to a trial of the search."""
        self._planned = None

    def resume(self) -> None:
        """Let those that were interrupted start again, in a new session."""
        self._planned = None
        self._again = {trial.trial_id for trial in self._sweep.reruns if trial.is_interrupted}

    def start(self, trial_id: str) -> None:
        """Take note that one has started."""
        self._again.discard(trial_id)

    def start_again(self, trial_id: str) -> None:
        """Let one start again that has died."""
        self._again.add(trial_id)


def _seed_of(trial: Trial) -> int:
    return int(trial.config.get("seed", 0))
