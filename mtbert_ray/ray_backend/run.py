"""Runs a study on the connected Ray cluster until its trials have ended, its time is over or it is interrupted."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import ray
from ray import tune
from rich.console import Console

from mtbert_ray.compat import replaced_actor_errors
from mtbert_ray.errors import DiskError
from mtbert_ray.events import SweepEnd, SweepFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend.capacity import DRIVER_CPUS
from mtbert_ray.ray_backend.checkpoint_keeper import CheckpointKeeper
from mtbert_ray.ray_backend.disk_watch import DiskWatch
from mtbert_ray.ray_backend.failure import as_dead_actor
from mtbert_ray.ray_backend.hang_watch import HangWatch
from mtbert_ray.ray_backend.inline import InlineTrial
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.ray_backend.processes import discard_output, terminals
from mtbert_ray.ray_backend.session_process import FORWARDED, exit_code_of
from mtbert_ray.ray_backend.train import drive_trial
from mtbert_ray.ray_backend.trial_files import TrialFiles, trial_folder
from mtbert_ray.ray_backend.tune import StudyOnTune
from mtbert_ray.reporting.document import write_report
from mtbert_ray.reporting.progress import SweepProgress
from mtbert_ray.reporting.wording import joined
from mtbert_ray.study.reruns import planned, without_ended
from mtbert_ray.study.study import Observer, Study
from mtbert_ray.trial import Sweep, Trial

_TUNE_SWITCH = "TUNE_DISABLE_SIGINT_HANDLER"


@dataclass(frozen=True, kw_only=True)
class SweepOutcome:
    """The end of a session of a sweep."""

    reason: SweepEnd
    num_finished: int
    folder: Path
    report: Path | None
    """The report's index.html; none where the disk had no room for it."""
    problem: str | None = None
    """What a disk refused, in a line."""

    @property
    def exit_code(self) -> int:
        """As of `exit_code_of`."""
        return DiskError.exit_code if self.problem is not None else exit_code_of(self.reason, self.num_finished)


def run_study(study: Study, plan: Plan, folder: Path, *, console: Console) -> SweepOutcome:
    """Run the trials of a study that is attached to its journal, and write the report.

    A first SIGINT, SIGTERM or SIGHUP ends the running trials and still writes the report; a second one exits at once.
    So does a disk that refuses something, and the outcome names it.
    """
    folder = folder.resolve()
    progress = SweepProgress(
        objectives=plan.objectives,
        tasks=tuple(task.name for task in plan.space.tasks),
        num_trials=study.num_trials,
        time_budget_seconds=plan.space.time_budget_seconds,
        console=console,
        num_reruns=lambda: (study.reruns.num_ended, len(study.reruns.planned)),
    )
    progress.count_earlier(trial for trial in study.trials if not trial.is_interrupted)
    disk = DiskWatch(folder)
    own: list[Observer] = [TrialFiles(folder), progress.on_event, CheckpointKeeper(folder, study.sweep)]
    study.observers[:] = [disk.watched(each) for each in (*study.observers, *own)]
    watch = HangWatch(
        partial(trial_folder, folder),
        lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
        hang_minutes=plan.space.hang_minutes,
    )
    here = ray.get_runtime_context().get_node_id()
    backend = StudyOnTune(study, folder, node_id=here, disk=disk, watch=watch)
    with progress, _Interrupts(console) as interrupts, disk.ending_by(interrupts.end):
        started = time.monotonic()
        # Left by a killed session.
        shutil.rmtree(folder / "ray", ignore_errors=True)
        with replaced_actor_errors(as_dead_actor):
            _fit(lambda: _tuner(study, plan, folder, [backend.callback, interrupts], backend), disk)
        over = _is_over(study, plan, seconds=time.monotonic() - started)
        reason: SweepEnd = "interrupted" if interrupts.came else "time_budget" if over else "completed"
        why = "interrupted" if interrupts.came else "the time budget was spent"
        if study.retries.gives_up:
            reason, why = "deaths", "too many trials died in a row"
            console.print("Too many trials died in a row: their reasons are in the report. Mend it, then resume.")
        elif reason == "completed" and (text := died_too_often([*study.trials, *study.reruns.started])):
            reason = "deaths"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        if disk.refused is not None:
            reason, why = "disk_full", f"the sweep ended: {disk.refused}"
        wanted = {one.trial_id for one in study.reruns.planned}
        for trial in [trial for trial in study.sweep.all_trials if trial.status == "running"]:
            has_left = trial.is_rerun and trial.trial_id not in wanted
            backend.interrupt(trial.trial_id, f"{trial.of} is on the front no more" if has_left else why)
    return _end(study, folder, reason, disk)


def died_too_often(trials: Sequence[Trial]) -> str:
    """Return a line on the trials of a sweep at its end that its deaths have left to `--resume`; empty without any."""
    left = [trial.trial_id for trial in trials if trial.status == "failed" and trial.is_interrupted]
    return f"{joined(left)} died more often than `retries` allows: the reasons are in the report." if left else ""


def _fit(make_tuner: Callable[[], tune.Tuner], disk: DiskWatch) -> None:
    try:
        make_tuner().fit()
    except Exception as error:
        # After a refusal Tune stumbles over its own files too, as an error that it could not write down.
        if not disk.note(error) and disk.refused is None:
            raise


def _end(study: Study, folder: Path, reason: SweepEnd, disk: DiskWatch) -> SweepOutcome:
    """Write the end of a session and its report; neither where the disk has no room for it."""
    if reason == "disk_full" and not _is_left(read_journal(folder), study.num_trials):
        reason = "completed"  # The last trial has ended, and its end is in the journal: nothing is left to resume.
    study.add(SweepFinished(reason=reason))
    # Tune's own state; sweeps resume from the journal.
    shutil.rmtree(folder / "ray", ignore_errors=True)
    report = None
    with disk.watching():
        report = write_report(folder)
    return SweepOutcome(
        reason=reason,
        num_finished=sum(trial.status == "finished" for trial in study.trials),
        folder=folder,
        report=report,
        problem=None if disk.refused is None else str(disk.refused),
    )


def _tuner(study: Study, plan: Plan, folder: Path, callbacks: list[tune.Callback], backend: StudyOnTune) -> tune.Tuner:
    return tune.Tuner(
        _trainable(plan, folder),
        # metric and mode stay unset: Tune supports one metric only and would drop the others.
        tune_config=tune.TuneConfig(
            search_alg=backend.searcher,
            scheduler=backend.scheduler,
            num_samples=-1,  # The study ends by itself.
            max_concurrent_trials=plan.concurrent_trials,
            time_budget_s=plan.space.time_budget_seconds,
            trial_name_creator=lambda trial: str(trial.config["trial_id"]),
            trial_dirname_creator=lambda trial: str(trial.config["trial_id"]),
            reuse_actors=reuses_actors(plan),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder / "ray"),
            callbacks=callbacks,
            verbose=0,
            # Trials write their own checkpoints.
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
    """Whether trials reuse the process of an earlier one, which saves seconds a trial.

    Not where resident memory is an objective: memory that the C library keeps of an earlier trial would count for the
    next one (28% for frozen MiniLM after full fine-tuning, docs/LOG.md).
    """
    return not plan.space.resources.uses_ray_train and "peak_rss_gib" not in plan.objectives


def _is_over(study: Study, plan: Plan, *, seconds: float) -> bool:
    """Whether the time budget ended the run; Tune does not report it."""
    budget = plan.space.time_budget_seconds
    return budget is not None and seconds >= budget and _is_left(study.sweep, study.num_trials)


def _is_left(sweep: Sweep, num_trials: int | None) -> bool:
    """Whether of so many trials, or of the reruns, some have not ended."""
    return num_trials is None or sweep.num_ended < num_trials or bool(without_ended(planned(sweep), sweep))


class _Interrupts(tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Turns the first signal into SIGUSR1, on which Tune stops early, and the second into KeyboardInterrupt.

    Tune's own SIGINT handler does not report the signal.
    """

    def __init__(self, console: Console) -> None:
        self.came = 0
        self._ending = False
        self._counts = {True: 0, False: 0}
        """Forwarded by the supervisor, sent by others."""
        self._console = console
        self._before: dict[int, Any] = {}
        self._switch_before: str | None = None
        self._terminals = terminals()

    def __enter__(self) -> Self:
        self._switch_before = os.environ.get(_TUNE_SWITCH)
        os.environ[_TUNE_SWITCH] = "1"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, FORWARDED):
            # Under nohup SIGHUP stays ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        # Until Tune handles SIGUSR1, its default would kill the process.
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
        return {"came": self.came, "_ending": self._ending}  # Tune pickles its callbacks; signal handlers cannot be.

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ANN401
        """Repeat a signal that came before Tune's handler was in place."""
        if self.came or self._ending:
            signal.raise_signal(signal.SIGUSR1)

    def end(self) -> None:
        """Let Tune stop early, as after a first signal."""
        self._ending = True
        signal.raise_signal(signal.SIGUSR1)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._counts[number == FORWARDED] += 1
        if max(self._counts.values()) == self.came:
            return  # The same one, which the supervisor got as well.
        self.came += 1
        if self.came > 1:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGUSR1)
        if number != signal.SIGHUP:
            self._console.print("Interrupted: ending the trials, then writing the report. Once more to leave at once.")
            return
        # The terminal is gone, so writing to it would raise; and a shell that ends may send the signal again.
        signal.signal(number, signal.SIG_IGN)
        discard_output(self._terminals)
