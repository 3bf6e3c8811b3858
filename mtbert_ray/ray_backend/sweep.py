"""Runs a plan: Ray Tune starts the trials, the journal tells of them, and a report ends it.

Assembles the parts; decides nothing about settings, scores or costs itself.
"""

import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

from ray import tune
from rich.console import Console

from mtbert_ray.events import SweepFinished
from mtbert_ray.ray_backend.beginning import Beginning
from mtbert_ray.ray_backend.capacity import DRIVER_CPUS
from mtbert_ray.ray_backend.for_ray import SpaceSearcher
from mtbert_ray.ray_backend.inline import InlineTrial
from mtbert_ray.ray_backend.killed_actor import killed_actors_end_only_their_trial
from mtbert_ray.ray_backend.listener import SweepListener
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.ray_backend.train import drive_trial
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.progress import SweepProgress

EndReason = Literal["completed", "interrupted", "time_budget"]
_TUNE_SWITCH = "TUNE_DISABLE_SIGINT_HANDLER"
"""With it set, Tune leaves SIGINT alone."""


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """How a sweep ended."""

    reason: EndReason
    num_finished: int
    report: Path
    """The report's index.html."""

    @property
    def exit_code(self) -> int:
        """The command line's: 0 done, 1 no trial finished, 130 interrupted."""
        if self.reason == "interrupted":
            return 130
        return 0 if self.num_finished > 0 else 1


def run_sweep(plan: Plan, folder: Path, beginning: Beginning, *, console: Console) -> SweepOutcome:
    """Run every trial of a plan on the connected cluster and write the report.

    A first SIGINT or SIGTERM ends the running trials and still writes the report; a second one ends at once.

    Args:
        plan: checked against this cluster.
        folder: the sweep's output folder.
        beginning: of a new sweep, or of another session of one.
        console: for the progress.
    """
    folder, journal = folder.resolve(), beginning.journal
    progress = SweepProgress(
        objectives=plan.objectives,
        tasks=tuple(task.name for task in plan.space.tasks),
        num_trials=beginning.num_trials,
        time_budget_seconds=plan.space.time_budget_seconds,
        console=console,
    )
    progress.count_earlier(beginning.ended)
    listener = SweepListener(
        folder=folder,
        journal=journal,
        progress=progress,
        decisions={} if beginning.scheduler is None else beginning.scheduler.decisions,
        ended=frozenset(trial.trial_id for trial in beginning.ended),
    )
    with progress, _Interrupts(console) as interrupts:
        started = time.monotonic()
        # Of a session that was killed.
        shutil.rmtree(folder / "ray", ignore_errors=True)
        with killed_actors_end_only_their_trial():
            _tuner(plan, folder, beginning, [listener, interrupts]).fit()
        seconds = time.monotonic() - started
        reason = _end_reason(plan, beginning, listener, seconds=seconds, interrupted=interrupts.came > 0)
        for trial_id in [trial.trial_id for trial in listener.trials.values() if trial.status == "running"]:
            listener.stop(trial_id, "interrupted" if reason == "interrupted" else "the time budget was spent")
    journal.append(SweepFinished(reason=reason))
    # Tune's own state: the journal holds all that is read again.
    shutil.rmtree(folder / "ray", ignore_errors=True)
    statuses = [trial.status for trial in (*beginning.ended, *listener.trials.values())]
    return SweepOutcome(
        reason=reason,
        num_finished=statuses.count("finished"),
        report=write_report(folder),
    )


def _tuner(plan: Plan, folder: Path, beginning: Beginning, callbacks: list[tune.Callback]) -> tune.Tuner:
    space = plan.space
    searcher = SpaceSearcher(
        space,
        beginning.searcher,
        plan.objectives,
        first=beginning.first,
        num_known=beginning.num_known,
        next_number=beginning.next_number,
        decisions={} if beginning.scheduler is None else beginning.scheduler.decisions,
    )
    return tune.Tuner(
        _trainable(plan, folder),
        # metric and mode stay unset: Tune knows one metric only and would make the searcher forget the others.
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=beginning.scheduler,
            num_samples=-1 if beginning.num_trials is None else beginning.num_trials - len(beginning.ended),
            max_concurrent_trials=plan.concurrent_trials,
            time_budget_s=space.time_budget_seconds,
            trial_name_creator=lambda trial: str(trial.config["trial_id"]),
            trial_dirname_creator=lambda trial: str(trial.config["trial_id"]),
            reuse_actors=reuses_actors(plan),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder / "ray"),
            callbacks=callbacks,
            verbose=0,
            # The trials keep their own checkpoints, of the best epoch.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _trainable(plan: Plan, folder: Path) -> Any:  # noqa: ANN401  # Ray has no type for what it takes
    if plan.space.resources.uses_ray_train:
        driver = tune.with_parameters(drive_trial, sweep_folder=str(folder))
        return tune.with_resources(driver, {"CPU": DRIVER_CPUS})
    worker = tune.with_parameters(InlineTrial, sweep_folder=str(folder))
    return tune.with_resources(worker, {"CPU": plan.request.cpus_per_worker, "GPU": plan.request.gpus_per_worker})


def reuses_actors(plan: Plan) -> bool:
    """Whether a trial runs in the process of an earlier one, which saves seconds a trial.

    Not where resident memory is an objective: what the C library keeps of an earlier trial's memory would be counted
    against the next one (28% for frozen MiniLM after full fine-tuning, docs/LOG.md).
    """
    return not plan.space.resources.uses_ray_train and "peak_rss_gib" not in plan.objectives


def _end_reason(
    plan: Plan, beginning: Beginning, listener: SweepListener, *, seconds: float, interrupted: bool
) -> EndReason:
    """Return why Tune came back: it does not tell."""
    if interrupted:
        return "interrupted"
    budget, planned = plan.space.time_budget_seconds, beginning.num_trials
    num_ended = len(beginning.ended) + sum(trial.status != "running" for trial in listener.trials.values())
    if budget is not None and seconds >= budget and (planned is None or num_ended < planned):
        return "time_budget"
    return "completed"


class _Interrupts(tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Turns the first SIGINT or SIGTERM into Tune's own signal to end early, and the second into KeyboardInterrupt.

    Tune can handle SIGINT by itself, but then tells nobody that there was one.
    """

    def __init__(self, console: Console) -> None:
        self.came = 0
        self._console = console
        self._before: dict[int, Any] = {}
        self._switch_before: str | None = None

    def __enter__(self) -> Self:
        self._switch_before = os.environ.get(_TUNE_SWITCH)
        os.environ[_TUNE_SWITCH] = "1"
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        # Until Tune takes SIGUSR1 over, its default would kill the process.
        self._before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda number, frame: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._switch_before is None:
            os.environ.pop(_TUNE_SWITCH, None)
        else:
            os.environ[_TUNE_SWITCH] = self._switch_before

    def __getstate__(self) -> dict[str, Any]:
        return {"came": self.came}  # Tune pickles its callbacks; signal handlers cannot be.

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ANN401
        """Say it again to Tune if it came before Tune listened."""
        if self.came:
            signal.raise_signal(signal.SIGUSR1)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.came += 1
        if self.came > 1:
            raise KeyboardInterrupt
        self._console.print("Interrupted: ending the trials, then writing the report. Once more to leave at once.")
        signal.raise_signal(signal.SIGUSR1)
