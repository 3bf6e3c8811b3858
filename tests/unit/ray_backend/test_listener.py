"""What Tune tells becomes the journal: each event once, in order, with the innermost reason of a failure."""

import pickle

import pytest
from event_files import hparams_in, scalars_in
from ray.exceptions import NodeDiedError, RayActorError, RayError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from told_sweep import NO_WORD, Sweep, metrics

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.errors import JournalError
from mtbert_ray.journal import read_journal
from mtbert_ray.study.pruning.decision import Decision


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return Sweep(tmp_path / "sweep")


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


def test_a_stop_of_the_scheduler_is_told_with_its_reason_and_kind(sweep):
    sweep.start("t1")
    sweep.probe("t1", train_seconds=30.0)
    sweep.probe("t1", train_seconds=30.0)  # Ray hands the last result over again as the trial ends.
    sweep.epoch("t1", 1)
    decision = Decision(trial="t1", reason="behind", resource=1, rung=1, dominated_by=("t0",), priority=2.0, cut=1.0)
    sweep.listener.decisions = {"t1": decision}
    sweep.complete("t1")
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.stop_kind, trial.reason) == ("stopped", "rung", decision.in_words())
    assert (trial.probe.steps, trial.probe.projection, trial.probe.metrics) == (
        35,
        {"train_seconds": 30.0},
        {"peak_rss_gib": 0.5},
    )
    assert [event[0] for event in sweep.journal_lines()] == ["trial_started", "probe", "epoch", "trial_stopped"]


def test_a_trial_stopped_at_its_probe_keeps_what_it_had_spent_and_has_no_checkpoint(sweep):
    sweep.start("t1")
    sweep.probe("t1", train_seconds=3000.0)
    sweep.complete("t1")
    [trial] = read_journal(sweep.folder).trials
    assert (trial.metrics, trial.checkpoint) == ({"peak_rss_gib": 0.5}, None)


def test_out_of_memory_is_an_outcome_and_no_failure(sweep):
    sweep.start("t1")
    sweep.run_out_of_memory("t1", "asked for 9.0 GiB, 8.0 GiB there")
    sweep.complete("t1")
    sweep.start("t2")
    sweep.fail("t2", MemoryError("no room"))
    first, second = read_journal(sweep.folder).trials
    assert (first.status, first.stop_kind) == ("stopped", "memory")
    assert first.reason == "infeasible: memory: asked for 9.0 GiB, 8.0 GiB there"
    assert (second.status, second.stop_kind) == ("stopped", "memory")
    assert sweep.progress.failed == 0


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


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, "died"),
        (RayActorError(), "died"),
        (NodeDiedError("gone"), "died"),
        (WorkerGroupError("a rank is gone", {1: WorkerHealthCheckFailedError("no answer", RayActorError())}), "died"),
        (RayActorError(actor_init_failed=True), "error"),
        (WorkerGroupError("a rank failed", {0: ValueError("no")}), "error"),
        (ValueError("no"), "error"),
    ],
)
def test_the_death_of_a_process_is_told_from_an_error(sweep, error, kind):
    sweep.start("t1")
    sweep.fail("t1", error)
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.failure_kind) == ("failed", kind)
    assert (trial.reason == NO_WORD) == (kind == "died")


def test_the_folder_of_a_trial_that_an_earlier_session_ended_is_not_touched(sweep):
    kept = sweep.listener.trial_folder("t1") / "checkpoint" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"trained for days")
    sweep.listener.ended = frozenset({"t1"})
    with pytest.raises(JournalError, match="t1 has ended in an earlier session and cannot be started again"):
        sweep.start("t1")
    assert kept.read_bytes() == b"trained for days"
    assert sweep.events() == []


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
        "mtbert_ray.ray_backend.listener.collect_folder",
        lambda source, target, node_id: calls.append((source, node_id)),
    )
    sweep.start("t1", profile={"steps": steps})
    sweep.epoch("t1", 1)
    sweep.epoch("t1", 2)
    sweep.complete("t1")
    assert calls == [(sweep.listener.trial_folder("t1") / name, "this-node") for name in fetched]
    assert read_journal(sweep.folder).trials[0].checkpoint == "trials/t1/checkpoint"


@pytest.mark.parametrize("error", [RayError("the node is gone"), OSError(28, "No space left on device")])
def test_a_checkpoint_that_cannot_be_fetched_makes_no_failure_of_a_finished_trial(sweep, monkeypatch, caplog, error):
    def collect(source, target, node_id):
        raise error

    monkeypatch.setattr("mtbert_ray.ray_backend.listener.collect_folder", collect)
    sweep.start("t1")
    sweep.epoch("t1", 1)
    sweep.epoch("t1", 2)
    sweep.complete("t1")
    assert f"t1: its checkpoint could not be fetched from its node: {error}" in caplog.text
    [trial] = read_journal(sweep.folder).trials
    assert (trial.status, trial.checkpoint) == ("finished", None)


def test_traces_that_cannot_be_fetched_cost_no_checkpoint(sweep, monkeypatch, caplog):
    def collect(source, target, node_id):
        if source.name == "profile":
            raise RayError("the node is gone")

    monkeypatch.setattr("mtbert_ray.ray_backend.listener.collect_folder", collect)
    sweep.start("t1", profile={"steps": 3})
    sweep.epoch("t1", 1)
    sweep.epoch("t1", 2)
    sweep.complete("t1")
    assert "t1: its profile could not be fetched from its node: the node is gone" in caplog.text
    assert read_journal(sweep.folder).trials[0].checkpoint == "trials/t1/checkpoint"


# Reasons
