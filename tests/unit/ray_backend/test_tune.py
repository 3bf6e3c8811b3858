"""What Tune reports becomes events, each once; what the study decides becomes Tune's answers.

Long, and one file: every test makes Tune's calls on the same small sweep, and its parts follow a trial's life.
"""

import pickle
from pathlib import Path

import pytest
from event_files import hparams_in, scalars_in
from ray.exceptions import NodeDiedError, RayActorError, RayError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from sweep_on_tune import OBJECTIVES, SweepOnTune

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.file import load_config
from mtbert_ray.events import TrialFailed, TrialResumed, TrialStopped
from mtbert_ray.metrics import Objective
from mtbert_ray.ray_backend import tune

COSTS = {**OBJECTIVES, "train_seconds": Objective(direction="minimize", reference=100.0, constraint=50.0)}
DIED = "died"


@pytest.fixture
def sweep(tmp_path) -> SweepOnTune:
    return SweepOnTune(tmp_path / "sweep", scheduler="fifo")


@pytest.fixture
def pruned(tmp_path) -> SweepOnTune:
    """A sweep with a pruner: one that costs more than 50 seconds ends."""
    return SweepOnTune(tmp_path / "sweep", objectives=COSTS)


# Suggestions


def test_tune_is_given_a_whole_config_until_there_are_no_more(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=2, fixed={"dropout": 0.5})
    assert [sweep.start(), sweep.start()] == ["t000", "t001"]
    config = TrialConfig.model_validate(sweep.trials["t001"].config["trial"])
    assert config.dropout == 0.5
    assert config.learning_rate == sweep.read_trials()[1].hyperparameters["learning_rate"]
    # While one runs it may die and have to run again, so Tune asks on.
    assert sweep.backend.searcher.suggest("Ray's own id") is None
    for trial_id in ("t000", "t001"):
        sweep.finish(trial_id)
    assert sweep.backend.searcher.suggest("Ray's own id") == "FINISHED"


def test_a_trial_that_died_starts_again_and_continues(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=1, retries=1)
    sweep.start()
    sweep.epoch("t000", 1, node_name="node-7")
    (sweep.folder / "trials" / "t000" / "state").mkdir()
    sweep.fail("t000", RayActorError())
    (trial,) = sweep.read_trials()
    assert (trial.status, trial.failure_kind, trial.is_interrupted) == ("failed", DIED, True)
    assert trial.reason.endswith("on node node-7")
    assert sweep.start() == "t000"
    config = sweep.trials["t000"].config
    assert (config["attempt"], config["epochs_done"]) == (2, 1)
    assert (sweep.folder / "trials" / "t000" / "state").exists()
    for _ in range(2):
        sweep.report("t000", TrialResumed(trial_id="t000", epoch=1))
    sweep.epoch("t000", 1)  # Once more: its report may have been lost.
    sweep.epoch("t000", 2)
    sweep.complete("t000")
    (trial,) = sweep.read_trials()
    assert (trial.status, trial.attempts, trial.num_done, len(trial.epochs)) == ("finished", 2, 2, 2)
    assert [kind for kind, _ in sweep.lines()].count("trial_resumed") == 1
    assert not (sweep.folder / "trials" / "t000" / "state").exists()


def test_a_trial_whose_state_is_lost_starts_over(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=1)
    sweep.start()
    sweep.epoch("t000", 1, 0.9)
    sweep.fail("t000", None)
    sweep.start()
    sweep.report("t000", TrialResumed(trial_id="t000", epoch=0))
    assert sweep.read_trials()[0].epochs == []
    for number in (1, 2):
        sweep.epoch("t000", number, 0.5)
    sweep.complete("t000")
    assert [epoch["sst"] for epoch in sweep.read_trials()[0].epochs] == [0.5, 0.5]


def test_one_that_dies_too_often_is_left_for_the_next_session(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=1, retries=2)
    for _ in range(3):
        assert sweep.start() == "t000"
        sweep.fail("t000", None)
    assert sweep.backend.searcher.suggest("Ray's own id") == "FINISHED"
    (trial,) = sweep.read_trials()
    assert (trial.attempts, trial.is_interrupted) == (3, True)


@pytest.mark.parametrize(
    ("space", "probe"),
    [
        ({}, {"steps": 30, "warmup_steps": 5, "margin": 0.1}),
        ({"scheduler": "fifo"}, None),
        ({"probe": {"steps": 0}}, None),
    ],
)
def test_trials_are_probed_only_where_the_pruner_uses_it(tmp_path, space, probe):
    sweep = SweepOnTune(tmp_path / "sweep", **space)
    assert sweep.backend.searcher.suggest("a")["probe"] == probe


def test_metric_and_mode_stay_unset(sweep):
    assert (sweep.backend.searcher.metric, sweep.backend.searcher.mode) == (None, None)


def test_tune_pickles_it_all_and_copies_nothing_of_the_study(sweep):
    """Tune pickles its callbacks and its searcher with its own state; the journal restores a sweep, Tune does not."""
    sweep.start()
    for part in (sweep.backend.searcher, sweep.backend.scheduler, sweep.backend.callback):
        copy = pickle.loads(pickle.dumps(part))
        assert not hasattr(copy._backend, "_study")


# Results


def test_trials_that_overlap_are_written_in_the_order_in_which_things_happened(sweep):
    assert [sweep.start(), sweep.start()] == ["t000", "t001"]
    sweep.epoch("t001", 1, 0.3)
    sweep.epoch("t000", 1, 0.4)
    sweep.epoch("t000", 2, 0.6)
    sweep.complete("t000")
    sweep.fail("t001", ValueError("no"))
    assert sweep.lines() == [
        ("trial_started", "t000"),
        ("trial_started", "t001"),
        ("epoch", "t001"),
        ("epoch", "t000"),
        ("epoch", "t000"),
        ("trial_finished", "t000"),
        ("trial_failed", "t001"),
    ]
    first, second = sweep.read_trials()
    assert (first.status, first.checkpoint) == ("finished", "trials/t000/checkpoint")
    assert first.epochs[0] == {"epoch": 1, "step": 10, "sst": 0.4, "dev_score": 0.4}
    assert (second.status, second.reason, second.checkpoint) == ("failed", "ValueError: no", None)
    assert (sweep.progress.done, sweep.progress.failed, sweep.progress.running) == (2, 1, {})


def test_the_study_and_the_journal_have_the_same_trials(pruned):
    for _ in range(4):
        pruned.start()
    pruned.finish("t000")
    pruned.probe("t001", train_seconds=10.0)
    pruned.epoch("t001", 1, costs={"train_seconds": 5.0})
    pruned.fail("t001", ValueError("no"))
    pruned.probe("t002", train_seconds=400.0)
    pruned.complete("t002")
    assert [trial.status for trial in pruned.study.trials] == ["finished", "failed", "stopped", "running"]
    assert pruned.read_trials() == pruned.study.trials


def test_a_result_that_is_repeated_or_late_is_left_out(sweep):
    sweep.start()
    for number in (1, 1, 2, 2, 1):
        sweep.epoch("t000", number)
    sweep.complete("t000")
    sweep.complete("t000")
    sweep.epoch("t000", 2)
    assert [kind for kind, _ in sweep.lines()] == ["trial_started", "epoch", "epoch", "trial_finished"]


def test_a_result_without_an_event_is_none_of_ours(sweep):
    """Tune makes one up for a trial that ends without any."""
    sweep.start()
    trial = sweep.trials["t000"]
    assert sweep.backend.scheduler.on_trial_result(None, trial, {"training_iteration": 1}) == "CONTINUE"
    assert len(sweep.lines()) == 1


# Stops


def test_a_trial_that_costs_too_much_is_stopped_at_its_probe(pruned):
    pruned.start()
    assert pruned.probe("t000", train_seconds=75.0) == "STOP"
    assert pruned.probe("t000", train_seconds=75.0) == "STOP"  # Repeated, when Tune has yet to end the trial.
    pruned.complete("t000")
    assert [kind for kind, _ in pruned.lines()] == ["trial_started", "probe", "trial_stopped"]
    [trial] = pruned.read_trials()
    assert (trial.stop_kind, trial.probe.steps, trial.probe.projection) == ("probe", 35, {"train_seconds": 75.0})
    assert (trial.metrics, trial.checkpoint) == ({"peak_rss_gib": 0.5}, None)


def test_a_trial_behind_others_is_stopped_at_a_rung_with_the_checkpoint_that_it_has(pruned):
    costs = {"train_seconds": 10.0}
    for trial_id, score, answer in (("t000", 0.9, "CONTINUE"), ("t001", 0.1, "STOP")):
        assert pruned.start() == trial_id
        assert pruned.epoch(trial_id, 1, score, costs=costs) == answer
    pruned.epoch("t001", 1, 0.1)
    pruned.complete("t001")
    trial = pruned.read_trials()[1]
    assert (trial.status, trial.stop_kind, trial.checkpoint) == ("stopped", "rung", "trials/t001/checkpoint")
    assert trial.reason == pruned.study.decision("t001").in_words()
    assert len(trial.epochs) == 1


def test_a_trial_that_is_stopped_reports_nothing_more(pruned):
    pruned.start()
    pruned.probe("t000", train_seconds=75.0)
    assert pruned.epoch("t000", 1) == "STOP"
    pruned.complete("t000")
    assert pruned.read_trials()[0].epochs == []


def test_a_trial_that_tune_ends_early_is_one_that_the_sweep_ended(sweep):
    sweep.start()
    sweep.epoch("t000", 1)
    sweep.complete("t000")
    [trial] = sweep.read_trials()
    assert (trial.status, trial.stop_kind, trial.checkpoint) == ("stopped", "sweep", "trials/t000/checkpoint")
    assert trial.is_interrupted


def test_a_trial_interrupted_before_its_first_epoch_has_no_checkpoint(sweep):
    sweep.start()
    sweep.backend.interrupt("t000", "the time budget was spent")
    [trial] = sweep.read_trials()
    assert (trial.status, trial.reason, trial.checkpoint) == ("stopped", "the time budget was spent", None)


def test_out_of_memory_is_an_outcome_and_no_failure(sweep):
    sweep.start()
    sweep.start()
    sweep.run_out_of_memory("t000", "asked for 9.0 GiB, 8.0 GiB there")
    assert sweep.read_trials()[0].status == "running"
    sweep.complete("t000")
    sweep.epoch("t001", 1)
    sweep.fail("t001", MemoryError("no room"))
    first, second = sweep.read_trials()
    assert (first.status, first.stop_kind, first.checkpoint) == ("stopped", "memory", None)
    assert first.reason == "out of memory: asked for 9.0 GiB, 8.0 GiB there"
    assert (second.status, second.stop_kind, second.checkpoint) == ("stopped", "memory", "trials/t001/checkpoint")
    assert not first.is_interrupted and sweep.progress.failed == 0


# Failures


def test_a_failure_without_an_error_file_is_a_death(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", retries=0)
    for trial_id in ("t000", "t001"):
        sweep.start()
        sweep.trials[trial_id].pickled_error_file = (
            str(sweep.folder / "never-written.pkl") if trial_id > "t000" else None
        )
        sweep.fail(trial_id, None)
    assert [trial.failure_kind for trial in sweep.read_trials()] == [DIED, DIED]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, DIED),
        (RayActorError(), DIED),
        (NodeDiedError("gone"), DIED),
        (WorkerGroupError("a rank is gone", {1: WorkerHealthCheckFailedError("no answer", RayActorError())}), DIED),
        (RayActorError(actor_init_failed=True), "error"),
        (WorkerGroupError("a rank failed", {0: ValueError("no")}), "error"),
        (ValueError("no"), "error"),
    ],
)
def test_the_death_of_a_process_is_no_error_of_its_own(sweep, error, kind):
    sweep.start()
    sweep.fail("t000", error)
    [trial] = sweep.read_trials()
    assert (trial.status, trial.failure_kind, trial.is_interrupted) == ("failed", kind, kind == DIED)
    assert ("process died" in trial.reason) == (kind == DIED)


def test_the_whole_trace_of_a_failure_is_kept_beside_the_trial(sweep, tmp_path):
    trace = tmp_path / "of-tune.txt"
    trace.write_text("Traceback: all of it")
    sweep.start()
    sweep.trials["t000"].error_file = str(trace)
    sweep.fail("t000", ValueError("no"))
    assert (sweep.folder / "trials" / "t000" / "error.txt").read_text() == "Traceback: all of it"


# The files of a trial


def test_each_trial_s_config_is_a_file_that_train_reads(tmp_path):
    adapter = {"kind": "dora", "rank": 2}
    sweep = SweepOnTune(tmp_path / "sweep", fixed={"adapter": adapter, "hidden_layers": {"sst": 2}})
    sweep.start()
    config = load_config(sweep.folder / "trials" / "t000" / "config.yaml")
    assert config == TrialConfig.model_validate(sweep.trials["t000"].config["trial"])
    assert (config.adapter.rank, config.hidden_layers) == (2, {"sst": 2})


def test_what_lies_in_the_place_of_a_new_trial_is_removed(sweep):
    left = [sweep.folder / "trials" / "t000" / "checkpoint", sweep.folder / "tensorboard" / "t000"]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "old").touch()
    sweep.start()
    assert not any(folder.exists() for folder in left)


def test_a_problem_with_the_gpu_is_logged_once_and_the_epoch_kept(sweep, caplog):
    sweep.start()
    for number in (1, 2):
        sweep.epoch("t000", number, gpu_problem="NVML does not answer")
    assert caplog.text.count("t000: GPU metrics are null: NVML does not answer") == 1
    assert len(sweep.read_trials()[0].epochs) == 2


def test_a_run_too_short_for_its_profile_is_logged_once(sweep, caplog):
    sweep.start()
    sweep.epoch("t000", 1)
    for _ in range(2):
        sweep.epoch("t000", 2, profile_problem="profile: no trace was written")
    assert caplog.text.count("t000: profile: no trace was written") == 1


def test_each_trial_s_scalars_are_a_run_of_their_own(sweep):
    sweep.start()
    sweep.start()
    sweep.epoch("t000", 1, 0.5)
    sweep.epoch("t001", 1, 0.125)
    sweep.epoch("t000", 1, 0.5)  # repeated
    sweep.epoch("t000", 2, 0.25)
    sweep.complete("t000")
    folder = sweep.folder / "tensorboard"
    rate = sweep.read_trials()[0].hyperparameters["learning_rate"]
    assert scalars_in(folder / "t000")["score/dev_score"] == [(10, 0.5), (20, 0.25)]
    assert scalars_in(folder / "t001") == {"score/sst": [(10, 0.125)], "score/dev_score": [(10, 0.125)]}
    assert hparams_in(folder / "t000") == ({"learning_rate": rate}, {"final/sst", "final/dev_score"})
    assert scalars_in(folder / "t000")["final/dev_score"] == [(20, 0.5)]  # of the epoch whose checkpoint is kept


def test_a_stopped_trial_has_a_result_in_tensorboard_and_a_failed_one_has_none(sweep):
    for trial_id in ("t000", "t001"):
        sweep.start()
        sweep.epoch(trial_id, 1)
    sweep.backend.interrupt("t000", "enough")
    sweep.fail("t001", ValueError("no"))
    assert set(hparams_in(sweep.folder / "tensorboard" / "t000")[0]) == {"learning_rate"}
    assert hparams_in(sweep.folder / "tensorboard" / "t001") == ({}, set())


# What is fetched from a trial's node


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[Path, str]]:
    """What was asked of nodes, which have everything."""
    calls = []
    monkeypatch.setattr(tune, "collect_folder", lambda source, target, node_id: calls.append((source, node_id)))
    return calls


@pytest.mark.parametrize(("steps", "names"), [(0, []), (3, ["profile"])])
def test_what_a_trial_keeps_is_fetched_with_its_checkpoint(tmp_path, fetched, steps, names):
    sweep = SweepOnTune(tmp_path / "sweep", fixed={"profile.steps": steps})
    sweep.backend.node_id = "another"
    sweep.start()
    sweep.finish("t000")
    assert fetched == [
        (sweep.backend.folder_of("t000") / name, "this-node") for name in ("checkpoint", "predictions", *names)
    ]
    assert sweep.read_trials()[0].checkpoint == "trials/t000/checkpoint"


@pytest.mark.parametrize("error", [RayError("the node is gone"), OSError(28, "No space left on device")])
@pytest.mark.parametrize("lost", ["checkpoint", "profile", "predictions"])
def test_what_cannot_be_fetched_makes_no_failure_of_a_finished_trial(tmp_path, monkeypatch, caplog, error, lost):
    def collect(source, target, node_id):
        if source.name == lost:
            raise error

    monkeypatch.setattr(tune, "collect_folder", collect)
    sweep = SweepOnTune(tmp_path / "sweep", fixed={"profile.steps": 3})
    sweep.backend.node_id = "another"
    sweep.start()
    sweep.finish("t000")
    assert f"t000: its {lost} could not be fetched" in caplog.text and str(error) in caplog.text
    [trial] = sweep.read_trials()
    assert trial.status == "finished"
    assert trial.checkpoint == (None if lost == "checkpoint" else "trials/t000/checkpoint")


def test_out_of_memory_after_an_epoch_keeps_its_checkpoint(sweep, fetched):
    sweep.backend.node_id = "another"
    sweep.start()
    sweep.epoch("t000", 1)
    sweep.run_out_of_memory("t000", "asked for much")
    sweep.complete("t000")
    [trial] = sweep.read_trials()
    assert (trial.stop_kind, trial.checkpoint, len(fetched)) == ("memory", "trials/t000/checkpoint", 2)
    stopped = TrialStopped(trial_id="t000", reason=trial.reason, kind="memory")
    sweep.report("t000", stopped, done=True)  # Repeated after the end.
    assert sweep.lines()[-1] == ("trial_stopped", "t000") and len(sweep.lines()) == 3


def test_one_whose_memory_others_took_runs_again_and_after_the_second_time_alone(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=3)
    end = TrialFailed(trial_id="t000", reason="others took its memory", kind="memory_taken")
    for beside in ((), ("t001",)):
        assert sweep.start() == "t000"
        assert tuple(sweep.start() for _ in beside) == beside
        sweep.report("t000", end, done=True)
        sweep.complete("t000")
        assert sweep.study.sweep.trial("t000").is_interrupted
    suggest = sweep.backend.searcher.suggest
    assert suggest("Ray's own id") is None, "t001 still runs beside it"
    sweep.finish("t001")
    assert sweep.start() == "t000"
    assert suggest("Ray's own id") is None, "it runs alone"
    sweep.finish("t000")
    assert sweep.start() == "t002"


@pytest.mark.parametrize(("at_once", "limit"), [(1, 10), (4, 12)])
def test_too_many_deaths_in_a_row_end_the_sweep(tmp_path, at_once, limit):
    sweep = SweepOnTune(tmp_path / "sweep", trials=40, retries=3)
    running = [sweep.start() for _ in range(at_once)]
    for trial_id in running:
        sweep.epoch(trial_id, 1)
    for number in range(limit):
        assert not sweep.study.retries.gives_up, number
        sweep.fail(running.pop(0), None)
        if number < limit - 1:
            running.append(sweep.start())
    assert sweep.study.retries.gives_up
    assert sweep.backend.suggest() is None


def test_an_epoch_in_between_tells_that_it_goes_on(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=40, retries=0)
    for _ in range(15):
        trial_id = sweep.start()
        sweep.epoch(trial_id, 1)
        sweep.fail(trial_id, None)
    assert not sweep.study.retries.gives_up


def test_a_node_that_is_lost_with_many_trials_before_their_first_report_ends_nothing(tmp_path):
    sweep = SweepOnTune(tmp_path / "sweep", trials=20)
    for trial_id in [sweep.start() for _ in range(12)]:
        sweep.fail(trial_id, None)
    assert not sweep.study.retries.gives_up
