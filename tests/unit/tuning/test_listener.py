"""What Tune tells becomes the journal: each event once, in order, with the innermost reason of a failure."""

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
from event_files import hparams_in, scalars_in
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from rich.console import Console

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import ConfigError
from mtbert_ray.metrics import Objective
from mtbert_ray.records import Journal, SweepStarted, read_journal
from mtbert_ray.tuning.listener import SweepListener, reason_of
from mtbert_ray.tuning.progress import SweepProgress

OBJECTIVES = {"dev_score": Objective(direction="maximise", reference=0.0)}
NO_WORD = "the trial's process died without a word (out of memory, or killed)"


@dataclass
class FakeTrial:
    """What the listener reads of a Tune trial."""

    config: dict
    pickled_error_file: str | None = None
    error_file: str | None = None


class Sweep:
    """A sweep in whose place a test speaks for Tune."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder)
        self.journal.append(
            SweepStarted(
                name="s",
                space={},
                objectives=OBJECTIVES,
                hyperparameters=("learning_rate",),
                tasks=("sst",),
                num_trials=3,
                seed=0,
                versions={},
                git_revision=None,
                hardware={},
            )
        )
        self.progress = SweepProgress(
            objectives=OBJECTIVES,
            tasks=("sst",),
            num_trials=3,
            time_budget_seconds=None,
            console=Console(quiet=True),
        )
        self.listener = SweepListener(folder=folder, journal=self.journal, progress=self.progress)
        self.trials: dict[str, FakeTrial] = {}

    def trial(self, trial_id: str, **setting) -> FakeTrial:
        values = {"learning_rate": 1e-5, **setting}
        config = TrialConfig(epochs=2, tasks=("sst",), **values)
        tune_config = {"trial_id": trial_id, "values": values, "trial": config.model_dump(mode="json")}
        self.trials[trial_id] = FakeTrial(tune_config)
        return self.trials[trial_id]

    def start(self, trial_id: str, **setting) -> None:
        self.listener.on_trial_start(0, [], self.trial(trial_id, **setting))

    def epoch(self, trial_id: str, number: int, score: float = 0.5, **more) -> None:
        # The checkpoint of an epoch lies there before its result is told.
        (self.listener.trial_folder(trial_id) / "checkpoint").mkdir(exist_ok=True)
        metrics = {"epoch": number, "step": 10 * number, "sst": score, "dev_score": score}
        problems = {"gpu_problem": None, "profile_problem": None}
        result = {"metrics": metrics, "node_id": "this-node", "done": number == 2, **problems, **more}
        self.listener.on_trial_result(0, [], self.trials[trial_id], result)

    def complete(self, trial_id: str) -> None:
        self.listener.on_trial_complete(0, [], self.trials[trial_id])

    def fail(self, trial_id: str, error: BaseException | None) -> None:
        trial = self.trials[trial_id]
        if error is not None:
            path = self.folder / f"{trial_id}-error.pkl"
            path.write_bytes(cloudpickle.dumps(error))
            trial.pickled_error_file = str(path)
        self.listener.on_trial_error(0, [], trial)

    def events(self) -> list[tuple[str, str, object]]:
        """Kind, trial and what is special, of every event after the first."""
        read_journal(self.folder)  # Refuses what is out of order.
        lines = (self.folder / "journal.jsonl").read_text().splitlines()[1:]
        special = {"epoch": "metrics", "trial_finished": "checkpoint", "trial_stopped": "reason"}
        special |= {"trial_failed": "reason", "trial_started": "hyperparameters"}
        events = [json.loads(line) for line in lines]
        return [(event["event"], event["trial_id"], event[special[event["event"]]]) for event in events]


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return Sweep(tmp_path / "sweep")


def metrics(epoch: int, score: float = 0.5) -> dict:
    return {"epoch": epoch, "step": 10 * epoch, "sst": score, "dev_score": score}


# The journal


def test_trials_that_overlap_are_told_in_the_order_in_which_things_happened(sweep):
    sweep.start("t1")
    sweep.start("t2", learning_rate=3e-5)
    sweep.epoch("t2", 1, 0.3)
    sweep.epoch("t1", 1, 0.4)
    sweep.epoch("t1", 2, 0.6)
    sweep.complete("t1")
    sweep.fail("t2", ValueError("no"))
    assert sweep.events() == [
        ("trial_started", "t1", {"learning_rate": 1e-5}),
        ("trial_started", "t2", {"learning_rate": 3e-5}),
        ("epoch", "t2", metrics(1, 0.3)),
        ("epoch", "t1", metrics(1, 0.4)),
        ("epoch", "t1", metrics(2, 0.6)),
        ("trial_finished", "t1", "trials/t1/checkpoint"),
        ("trial_failed", "t2", "ValueError: no"),
    ]
    assert (sweep.progress.done, sweep.progress.failed, sweep.progress.running) == (2, 1, {})


def test_the_last_result_handed_over_again_is_left_out(sweep):
    sweep.start("t1")
    for number in (1, 1, 2, 2, 1):
        sweep.epoch("t1", number)
    sweep.complete("t1")
    assert [event[2]["epoch"] for event in sweep.events() if event[0] == "epoch"] == [1, 2]
    assert read_journal(sweep.folder).trials[0].status == "finished"


def test_a_trial_that_is_started_again_is_told_once(sweep):
    """Tune starts a trial again when its actor is reused or recovered."""
    sweep.start("t1")
    sweep.listener.on_trial_start(1, [], sweep.trials["t1"])
    assert [event[0] for event in sweep.events()] == ["trial_started"]


def test_a_trial_that_tune_ends_early_is_stopped_with_the_checkpoint_it_has(sweep):
    sweep.start("t1")
    sweep.epoch("t1", 1)
    sweep.complete("t1")
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.reason) == ("stopped", "ended by the sweep before its last epoch")
    assert trial.checkpoint == "trials/t1/checkpoint"


def test_a_trial_stopped_before_its_first_epoch_has_no_checkpoint(sweep):
    sweep.start("t1")
    sweep.listener.stop("t1", "the time budget was spent")
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.reason, trial.checkpoint) == ("stopped", "the time budget was spent", None)


def test_a_trial_whose_process_never_came_up_is_started_and_failed(sweep):
    """Tune tells of no start when an actor cannot be made, as on a node without this package."""
    sweep.trial("t1")
    sweep.fail("t1", ModuleNotFoundError("No module named 'mtbert_ray'"))
    assert [event[0] for event in sweep.events()] == ["trial_started", "trial_failed"]
    [trial] = read_journal(sweep.folder).trials
    assert trial.reason == "ModuleNotFoundError: No module named 'mtbert_ray'"
    assert sweep.progress.running == {}


def test_a_failure_without_an_error_file_is_a_death_without_a_word(sweep):
    sweep.start("t1")
    sweep.fail("t1", None)
    sweep.start("t2")
    sweep.trials["t2"].pickled_error_file = str(sweep.folder / "never-written.pkl")
    sweep.listener.on_trial_error(0, [], sweep.trials["t2"])
    assert [trial.reason for trial in read_journal(sweep.folder).trials] == [NO_WORD, NO_WORD]


def test_a_problem_with_the_gpu_is_logged_and_the_epoch_kept(sweep, caplog):
    sweep.start("t1")
    sweep.epoch("t1", 1, gpu_problem="NVML does not answer")
    assert "t1: GPU metrics are null: NVML does not answer" in caplog.text
    assert len(read_journal(sweep.folder).trials[0].epochs) == 1


def test_a_run_too_short_for_its_profile_is_logged_once(sweep, caplog):
    sweep.start("t1")
    sweep.epoch("t1", 1)
    for _ in range(2):  # Tune hands the last result over once more.
        sweep.epoch("t1", 2, profile_problem="profile: no trace was written")
    assert caplog.text.count("t1: profile: no trace was written") == 1


def test_the_records_are_those_that_the_journal_tells(sweep):
    sweep.start("t1")
    sweep.epoch("t1", 1, 0.7)
    sweep.epoch("t1", 2, 0.6)
    sweep.complete("t1")
    sweep.start("t2")
    sweep.epoch("t2", 1, 0.1)
    sweep.fail("t2", ValueError("no"))
    for told in read_journal(sweep.folder).trials:
        kept = sweep.listener.trials[told.trial_id]
        for name in ("hyperparameters", "config", "started", "status", "epochs", "checkpoint", "reason", "metrics"):
            assert getattr(kept, name) == getattr(told, name), name


def test_each_trial_s_config_is_a_file_that_train_reads(sweep):
    adapter = {"kind": "dora", "rank": 2}
    sweep.start("t1", learning_rate=3e-5, adapter=adapter, hidden_layers={"sst": 2})
    config = load_config(sweep.folder / "trials" / "t1" / "config.yaml")
    assert config == TrialConfig(
        epochs=2, tasks=("sst",), learning_rate=3e-5, adapter=adapter, hidden_layers={"sst": 2}
    )


def test_a_pickled_listener_goes_on_with_the_journal_and_without_the_display(sweep):
    """Tune pickles its callbacks with its own state."""
    sweep.start("t1")
    copy = pickle.loads(pickle.dumps(sweep.listener))
    assert copy.progress is None
    sweep.listener = copy
    sweep.epoch("t1", 1)
    copy.stop("t1", "enough")
    assert [event[0] for event in sweep.events()] == ["trial_started", "epoch", "trial_stopped"]


# TensorBoard and traces


def test_each_trial_s_scalars_are_a_run_of_their_own(sweep):
    sweep.start("t1")
    sweep.start("t2", learning_rate=3e-5)
    sweep.epoch("t1", 1, 0.5)
    sweep.epoch("t2", 1, 0.125)
    sweep.epoch("t1", 1, 0.5)  # handed over again
    sweep.epoch("t1", 2, 0.25)
    sweep.complete("t1")
    folder = sweep.folder / "tensorboard"
    assert scalars_in(folder / "t1")["score/dev_score"] == [(10, 0.5), (20, 0.25)]
    assert scalars_in(folder / "t2") == {"score/sst": [(10, 0.125)], "score/dev_score": [(10, 0.125)]}
    assert hparams_in(folder / "t1") == ({"learning_rate": 1e-5}, {"final/sst", "final/dev_score"})
    assert scalars_in(folder / "t1")["final/dev_score"] == [(20, 0.5)]  # of the epoch whose checkpoint is kept
    assert list(sweep.listener.scalars) == ["t2"]  # The file of a trial that ended is closed.


def test_a_stopped_trial_has_a_result_and_a_failed_one_has_none(sweep):
    for trial_id in ("t1", "t2"):
        sweep.start(trial_id)
        sweep.epoch(trial_id, 1)
    sweep.listener.stop("t1", "enough")
    sweep.fail("t2", ValueError("no"))
    assert hparams_in(sweep.folder / "tensorboard" / "t1")[0] == {"learning_rate": 1e-5}
    assert hparams_in(sweep.folder / "tensorboard" / "t2") == ({}, set())
    assert sweep.listener.scalars == {}


def test_a_pickled_listener_writes_on_in_another_event_file(sweep):
    sweep.start("t1")
    sweep.epoch("t1", 1)
    sweep.listener = pickle.loads(pickle.dumps(sweep.listener))
    sweep.epoch("t1", 2)
    assert sorted(scalars_in(sweep.folder / "tensorboard" / "t1")["score/sst"]) == [(10, 0.5), (20, 0.5)]


@pytest.mark.parametrize(("steps", "fetched"), [(0, ["checkpoint"]), (3, ["profile", "checkpoint"])])
def test_the_traces_of_a_profiled_trial_are_fetched_like_its_checkpoint(sweep, monkeypatch, steps, fetched):
    calls = []
    monkeypatch.setattr(
        "mtbert_ray.tuning.listener.collect_folder", lambda source, target, node_id: calls.append((source, node_id))
    )
    sweep.start("t1", profile={"steps": steps})
    sweep.epoch("t1", 1)
    sweep.epoch("t1", 2)
    sweep.complete("t1")
    assert calls == [(sweep.listener.trial_folder("t1") / name, "this-node") for name in fetched]
    assert read_journal(sweep.folder).trials[0].checkpoint == "trials/t1/checkpoint"


def test_traces_that_cannot_be_fetched_cost_no_checkpoint(sweep, monkeypatch, caplog):
    def collect(source, target, node_id):
        if source.name == "profile":
            raise RayError("the node is gone")

    monkeypatch.setattr("mtbert_ray.tuning.listener.collect_folder", collect)
    sweep.start("t1", profile={"steps": 3})
    sweep.epoch("t1", 1)
    sweep.epoch("t1", 2)
    sweep.complete("t1")
    assert "t1: its profile could not be fetched from its node: the node is gone" in caplog.text
    assert read_journal(sweep.folder).trials[0].checkpoint == "trials/t1/checkpoint"


# Reasons


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


CAUSE = RuntimeError("CUDA out of memory")


@pytest.mark.parametrize(
    "error",
    [
        CAUSE,
        task_error(CAUSE),
        task_error(CAUSE).as_instanceof_cause(),
        task_error(task_error(CAUSE)),
        WorkerGroupError("two ranks failed:\n...", {1: CAUSE, 0: ValueError("later")}),
        task_error(WorkerGroupError("a rank failed", {0: task_error(CAUSE)})),
        task_error(ControllerError(WorkerGroupError("a rank failed", {3: CAUSE}))),
        ControllerError(CAUSE),
    ],
)
def test_the_reason_is_the_innermost_cause_in_one_line(sweep, error):
    assert reason_of(error) == "RuntimeError: CUDA out of memory"
    sweep.start("t1")
    sweep.fail("t1", error)
    assert read_journal(sweep.folder).trials[0].reason == "RuntimeError: CUDA out of memory"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, NO_WORD),
        (ValueError(), "ValueError"),
        (ValueError("  \n\n "), "ValueError"),
        (ValueError("\n one \n\n\t two\n"), "ValueError: one; two"),
        (ValueError("1\n2\r\n3\n4\n5"), "ValueError: 1; 2; 3"),
        (ValueError("one\u2028two"), "ValueError: one; two"),
        (ConfigError(["adapter.rank is too large", "and more"]), "ConfigError: adapter.rank is too large; and more"),
        (FileNotFoundError(2, "No such file", "data/gr\udcfc\udcdfe.csv"), None),
        (WorkerGroupError("nobody knows why", {}), "WorkerGroupError: Training failed due to worker errors:; nobody k"),
        (KeyError("sst"), "KeyError: 'sst'"),
    ],
)
def test_a_reason_is_one_line_that_a_journal_can_hold(sweep, error, reason):
    reason = reason or r"FileNotFoundError: [Errno 2] No such file: 'data/gr\udcfc\udcdfe.csv'"
    assert reason_of(error).startswith(reason)
    assert len(reason_of(error).splitlines()) == 1
    sweep.start("t1")
    sweep.fail("t1", error)
    assert read_journal(sweep.folder).trials[0].reason == reason_of(error)


def test_the_whole_trace_of_a_failure_is_kept_beside_the_trial(tmp_path):
    trace = tmp_path / "of-tune.txt"
    trace.write_text("Traceback: all of it")
    sweep = Sweep(tmp_path / "sweep")
    sweep.start("t1")
    sweep.trials["t1"].error_file = str(trace)
    sweep.listener.on_trial_error(0, [], sweep.trials["t1"])
    assert (sweep.folder / "trials" / "t1" / "error.txt").read_text() == "Traceback: all of it"
