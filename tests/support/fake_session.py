"""A session's process without torch and Ray: does what a plan says, on the real journal.

    python fake_session.py PLAN FD SUPERVISOR  < a pickled order

PLAN is JSON: for each session a list of steps. What happened is noted in `noted` beside it.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from mtbert_ray.events import (
    EpochFinished,
    SweepFinished,
    SweepResumed,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from mtbert_ray.journal import Journal, writing_alone
from mtbert_ray.ray_backend.processes import end_with_parent
from mtbert_ray.ray_backend.session_process import FORWARDED


class FakeSession:
    def __init__(self, plan: Path, reports: int) -> None:
        self.noted = plan.with_name("noted")
        self.reports = reports
        with plan.with_name("sessions").open("a") as file:
            file.write("x")
        self.number = plan.with_name("sessions").stat().st_size - 1
        self.steps: list[str] = json.loads(plan.read_text())[self.number]
        self.order = pickle.load(sys.stdin.buffer)
        self.note(f"session {self.number}, {self.order.request.space.time_budget_minutes} minutes")
        self.stack = ExitStack()
        self.daemon: subprocess.Popen[bytes] | None = None

    def note(self, text: str) -> None:
        with self.noted.open("a") as file:
            file.write(text + "\n")

    def tell(self, **report: object) -> None:
        os.write(self.reports, json.dumps(report).encode() + b"\n")

    def run(self) -> None:
        for step in self.steps:
            name, _, argument = step.partition(":")
            getattr(self, f"do_{name}")(*filter(None, [argument]))

    def do_open(self) -> None:
        request = self.order.request
        space, folder = request.space, request.folder
        of_session = {"num_trials": space.num_trials, "versions": {}, "git_revision": None, "hardware": {}}
        if request.earlier is None:
            self.journal, self.num_trials = Journal(folder), 0
            self.journal.append(
                SweepStarted(
                    name=space.name,
                    space=space.model_dump(mode="json"),
                    objectives=dict(space.objectives),
                    hyperparameters=space.hyperparameters,
                    tasks=("sst",),
                    seed=0,
                    **of_session,
                )
            )
        else:
            ended = [trial for trial in request.earlier.trials if not trial.is_interrupted]
            self.journal, self.num_trials = Journal.reopen(folder), len(ended)
            self.journal.append(SweepResumed(**of_session))
        self.stack.enter_context(writing_alone(folder))

    def start(self, epochs: int) -> str:
        """Start the next trial, and let it come to so many epochs."""
        values = {"learning_rate": 1e-4 * (1 + self.num_trials), "hidden_layers": 1}
        config = self.order.request.space.trial_config(values).model_dump(mode="json")
        trial_id = f"t{self.num_trials:03d}"
        self.num_trials += 1
        self.journal.append(TrialStarted(trial_id=trial_id, hyperparameters=values, config=config))
        for number in range(1, epochs + 1):
            metrics = {"epoch": number, "sst": 0.5, "dev_score": 0.5, "train_seconds": 10.0 * number}
            self.journal.append(EpochFinished(trial_id=trial_id, metrics=metrics))
        return trial_id

    def do_finish(self, count: str = "1") -> None:
        for _ in range(int(count)):
            self.journal.append(TrialFinished(trial_id=self.start(9)))

    def do_epochs(self, count: str) -> None:
        self.start(int(count))

    def do_died(self) -> None:
        self.journal.append(TrialFailed(trial_id=self.start(0), reason="its process died", kind="died"))

    def do_finished(self, reason: str) -> None:
        self.journal.append(SweepFinished(reason=reason))

    def do_kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_exit(self, code: str) -> None:
        os._exit(int(code))

    def do_tell(self, report: str) -> None:
        self.tell(**json.loads(report))

    def do_daemon(self) -> None:
        self.daemon = subprocess.Popen(["sleep", "600"])
        self.note(f"process {self.daemon.pid}")
        self.tell(daemons={"raylet": self.daemon.pid})

    def do_worker(self) -> None:
        """Start a process that outlives this one, in a group of its own as Ray's workers are."""
        self.note(f"process {subprocess.Popen(['sleep', '600'], process_group=0).pid}")

    def do_lose(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()

    def do_stop_daemon(self) -> None:
        assert self.daemon is not None
        self.tell(daemons={})
        self.daemon.kill()
        self.daemon.wait()
        time.sleep(2.5)  # Longer than the supervisor looks away.

    def do_hang(self) -> None:
        self.note(f"process {os.getpid()}")
        time.sleep(600)

    def do_on_signals(self, report: str) -> None:
        """Note signals; after the second, or if that is asked for the first one, end."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, FORWARDED)
        for number in numbers:
            signal.signal(number, lambda number, frame: self.note(f"got {signal.Signals(number).name}"))
        self.note(f"process {os.getpid()}")
        while self.noted.read_text().count("got ") < int(report):
            time.sleep(0.02)


if __name__ == "__main__":
    reports = int(sys.argv[2])
    os.set_inheritable(reports, False)
    end_with_parent(int(sys.argv[3]), sys.stdin.buffer)
    FakeSession(Path(sys.argv[1]), reports).run()
