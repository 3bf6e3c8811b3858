"""A sweep whose disk fills up at a given moment, then again with room: `run_study` with all but Ray.

Run in a process of its own, on a small disk. Prints for each moment what came of it, as one JSON object a line.
"""

import json
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from ray import cloudpickle
from rich.console import Console
from small_disk import Ballast
from sweep_on_tune import FakeTrial

from mtbert_ray import journal, sweep
from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import DiskError
from mtbert_ray.events import EpochFinished, SweepFinished, TrialFinished
from mtbert_ray.journal import read_journal
from mtbert_ray.ray_backend import launch, run, trial_files, tune, worker
from mtbert_ray.reporting import document
from mtbert_ray.study import session
from mtbert_ray.training import checkpoint
from mtbert_ray.training.inputs import RememberedInputs
from mtbert_ray.training.process import Process

NUM_TRIALS = 3
SPACE = f"""\
name: tiny
objectives:
  dev_score: {{direction: maximize, reference: 0.0}}
  train_seconds: {{direction: minimize, reference: 600}}
fixed: {{encoder: tiny, epochs: 2, tasks: [sst], data.max_train_rows: 8, data.max_dev_rows: 8}}
search: {{learning_rate: {{loguniform: [1e-4, 1e-2]}}}}
algorithm: random
scheduler: fifo
trials: {NUM_TRIALS}
"""
LOAD = RememberedInputs()


class TuneInProcess:
    """Makes the calls that Tune makes, one trial after another."""

    def __init__(self, folder: Path, callbacks: list, backend: tune.StudyOnTune, raises: set[str]) -> None:
        self.folder, self.callbacks, self.backend, self.raises = folder, callbacks, backend, raises
        self.stopped = False

    def fit(self) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: setattr(self, "stopped", True))
        while not self.stopped:
            for callback in self.callbacks:
                callback.on_step_begin(iteration=0, trials=[])
            config = self.backend.searcher.suggest("Ray's own id")
            if self.stopped or isinstance(config, str):
                return
            self._run(FakeTrial(config))

    def _run(self, trial: FakeTrial) -> None:
        trial_id = trial.config["trial_id"]
        config = TrialConfig.model_validate(trial.config["trial"])
        try:
            if trial_id in self.raises:
                raise ValueError("a mistake of its own")
            started = worker.start_run(config, Process(), self.folder / "trials" / trial_id, load=LOAD)
            for result in worker.reported_epochs(started):
                report = worker.report_of(trial_id, result)
                if not result.is_last:
                    self.backend.scheduler.on_trial_result(None, trial, report)
                self.backend.callback.on_trial_result(iteration=0, trials=[], trial=trial, result=report)
                if self.stopped:
                    return
        except Exception as error:  # As Tune, which keeps what a trial raised on another disk.
            other = Path(sys.argv[2])
            (other / "error.pkl").write_bytes(cloudpickle.dumps(error))
            (other / "error.txt").write_text(traceback.format_exc())
            trial.pickled_error_file, trial.error_file = str(other / "error.pkl"), str(other / "error.txt")
            self.backend.callback.on_trial_error(iteration=0, trials=[], trial=trial)
        else:
            self.backend.callback.on_trial_complete(iteration=0, trials=[], trial=trial)


def before(owner: Any, name: str, call: int, do: Callable[[], None], *, only: type | None = None):
    """Do something before the given call of a function, counted from 1; of an observer's, for events of one kind."""
    real, count = getattr(owner, name), 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        if only is None or any(isinstance(each, only) for each in arguments):
            count += 1
            if count == call:
                do()
        return real(*arguments, **named)

    return patch.object(owner, name, wrapped)


MOMENTS: dict[str, tuple[Any, str, int, dict[str, Any]]] = {
    "journal": (session, "Journal", 1, {}),
    "space.yaml": (session, "put_file", 1, {}),
    "config.yaml": (trial_files, "put_file", 2, {}),
    "epoch": (journal.Journal, "append", 3, {"only": EpochFinished}),
    "epoch without a reserve": (journal.Journal, "append", 3, {"only": EpochFinished}),
    "weights": (checkpoint, "save_file", 2, {}),
    "metrics.json": (checkpoint, "write_metrics", 2, {}),
    "tensorboard": (trial_files.ScalarLog, "add_epoch", 3, {}),
    "first tensorboard": (trial_files, "ScalarLog", 1, {}),
    "error.txt": (tune.shutil, "copyfile", 1, {}),
    "last error.txt": (tune.shutil, "copyfile", 1, {}),
    "trial's end": (journal.Journal, "append", 2, {"only": TrialFinished}),
    "last trial's end": (journal.Journal, "append", 3, {"only": TrialFinished}),
    "sweep's end": (journal.Journal, "append", 1, {"only": SweepFinished}),
    "report": (document, "write_files", 1, {}),
}
"""Moment -> the function before whose call the disk fills up, and which call."""
RAISES = {"error.txt": {"t001"}, "last error.txt": {"t002"}}
"""Moment -> the trials that have failed by themselves."""


@contextmanager
def without_ray():
    """Leave Ray out of `launch`, and of a worker's reports."""
    node = SimpleNamespace(get_node_id=lambda: "this node")

    @contextmanager
    def session(address, **options):
        yield

    with (
        patch.object(launch, "ray_session", session),
        patch.object(worker.ray, "get_runtime_context", lambda: node),
    ):
        yield


def attempt(arguments: list[str], *, raises: set[str]) -> dict[str, Any]:
    """Run the command of a sweep; return its exit code and what it printed."""
    printed: dict[str, list[str]] = {"out": [], "err": []}

    def tuner(study, plan, folder, callbacks, backend):
        return TuneInProcess(folder, callbacks, backend, raises)

    def echo(text, err=False):
        printed["err" if err else "out"].append(str(text))

    with (
        without_ray(),
        patch.object(run, "_tuner", tuner),
        patch.object(sweep.typer, "echo", echo),
        patch.object(sweep, "Console", lambda stderr: Console(quiet=True)),
    ):
        code = sweep.app(arguments, standalone_mode=False)
    return {"code": code or 0, **printed}


def state(folder: Path) -> dict[str, Any]:
    """Return what the journal has of a sweep."""
    if not (folder / "journal.jsonl").exists():
        return {}
    found = read_journal(folder)
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return {
        "status": {trial.trial_id: trial.status_in_words for trial in found.trials},
        "left": NUM_TRIALS - found.num_ended,
        "end": None if found.finished is None else found.finished.reason,
        "torn": found.torn,
        "finishes": [event["trial_id"] for event in events if event["event"] == "trial_finished"],
        "half written": [str(path) for path in folder.rglob("*") if path.suffix in (".new", ".tmp", ".reserve")],
    }


def run_moment(disk: Path, name: str) -> dict[str, Any]:
    owner, function, call, only = MOMENTS[name]
    folder, ballast = disk / name.replace(" ", "-").replace("'", ""), Ballast(disk)
    raises = RAISES.get(name, set())
    space = Path(sys.argv[2]) / "space.yaml"
    space.write_text(SPACE + ("keep_checkpoints: best\n" if name == "report" else ""))
    new = [str(space), "--out", str(folder)]

    def fill() -> None:
        if name.endswith("without a reserve"):
            (folder / journal.RESERVE_NAME).unlink()
        ballast.fill()

    with before(owner, function, call, fill, **only):
        first = {**attempt(new, raises=raises), "journal": state(folder)}
    if not (disk / "ballast").exists():
        return {"moment": name, "first": first, "error": "the moment never came"}
    ballast.remove()
    if not first["journal"]:
        then = attempt(new, raises=raises)
    elif first["journal"]["left"]:
        then = attempt(["--resume", str(folder)], raises=raises)
    else:
        document.write_report(folder)
        then = {"code": 0}
    checkpoints = sorted(path.parent.parent.name for path in folder.glob("trials/*/checkpoint/model.safetensors"))
    return {
        "moment": name,
        "first": first,
        "then": {**then, "journal": state(folder), "report": (folder / "index.html").exists()},
        "checkpoints": checkpoints,
    }


def main() -> None:
    torch.set_num_threads(1)
    assert DiskError.exit_code == 4
    with patch.object(document, "png_of", lambda drawing: b"figure" * 2000):  # Drawing them takes most of the time.
        for name in sys.argv[3:] or MOMENTS:
            print(json.dumps(run_moment(Path(sys.argv[1]), name)), flush=True)


if __name__ == "__main__":
    main()
