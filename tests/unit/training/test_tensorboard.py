"""What an epoch gave is read back from the event files as TensorBoard reads them."""

import pytest
from event_files import events_in, hparams_in, scalars_in

from mtbert_ray.metrics import METRICS
from mtbert_ray.training.tensorboard import ScalarLog, tag_of

EPOCH = {
    "epoch": 1,
    "step": 40,
    "train_loss": 1.25,
    "train_loss.sst": 1.5,
    "sst": 0.5,
    "dev_score": 0.5,
    "leaderboard_score": 0.75,
    "smart_penalty": 0.25,
    "smart_steps": None,
    "peak_memory_gib": None,
    "peak_rss_gib": 2.0,
    "trainable_parameters": 1024,
    "gpu_shared": 0,
}


def test_each_value_stands_at_its_optimizer_step_under_its_section(tmp_path):
    with ScalarLog(tmp_path / "t1") as log:
        log.add_epoch(EPOCH)
        log.add_epoch({**EPOCH, "epoch": 2, "step": 80, "train_loss": 0.5})
    assert scalars_in(tmp_path / "t1") == {
        "train_loss/all": [(40, 1.25), (80, 0.5)],
        "train_loss/sst": [(40, 1.5), (80, 1.5)],
        "score/sst": [(40, 0.5), (80, 0.5)],
        "score/dev_score": [(40, 0.5), (80, 0.5)],
        "score/leaderboard_score": [(40, 0.75), (80, 0.75)],
        "smart/smart_penalty": [(40, 0.25), (80, 0.25)],
        "resources/peak_rss_gib": [(40, 2.0), (80, 2.0)],
        "resources/trainable_parameters": [(40, 1024.0), (80, 1024.0)],
        "resources/gpu_shared": [(40, 0.0), (80, 0.0)],
    }


def test_every_metric_has_a_place_and_none_is_taken_for_a_task_s_score():
    costs = {name for name in METRICS if name not in ("dev_score", "leaderboard_score", "train_loss")}
    assert {tag_of(name) for name in costs} == {f"resources/{name}" for name in costs}
    assert [tag_of(name) for name in ("epoch", "step")] == [None, None]
    assert tag_of("peak_hours") == "score/peak_hours"  # a task may be called so


def test_metrics_of_classes_have_tags_of_their_own_whatever_a_class_is_called(tmp_path):
    alike = [f"sst.f1.{name}" for name in ("a|b", "a b", "a_b", "$x^$", "n/a", "two\nlines", "größe")]
    scores = {name: place / 8 for place, name in enumerate(alike)}
    with ScalarLog(tmp_path) as log:
        log.add_epoch({"step": 40, **scores})
        log.add_result({}, {"step": 40, **scores})
    found = scalars_in(tmp_path)
    assert [values for tag, values in found.items() if tag.startswith("score/")] == [
        [(40, value)] for value in scores.values()
    ]
    assert {"score/sst.f1.a_b", "score/sst.f1.n/a", "score/sst.f1.größe"} < set(found)
    _, tags = hparams_in(tmp_path)
    assert tags == {tag for tag in found if tag.startswith("final/")} and len(tags) == 7


def test_an_epoch_is_on_the_disk_before_the_log_is_closed(tmp_path):
    """A killed process loses nothing that it has written."""
    log = ScalarLog(tmp_path)
    log.add_epoch(EPOCH)
    assert scalars_in(tmp_path)["score/sst"] == [(40, 0.5)]
    log.close()


def test_a_second_log_of_the_same_second_goes_on_in_a_file_of_its_own(tmp_path):
    for step in (40, 80):
        with ScalarLog(tmp_path) as log:
            log.add_epoch({**EPOCH, "step": step})
    assert sorted(scalars_in(tmp_path)["score/sst"]) == [(40, 0.5), (80, 0.5)]


def test_the_hparams_tab_has_the_setting_and_the_final_scores_and_costs(tmp_path):
    with ScalarLog(tmp_path) as log:
        log.add_result({"adapter.kind": "lora", "learning_rate": 0.125, "adapter.rslora": True, "a": None}, EPOCH)
    hyperparameters, tags = hparams_in(tmp_path)
    assert hyperparameters == {"adapter.kind": "lora", "learning_rate": 0.125, "adapter.rslora": True}
    assert tags == {f"final/{name}" for name in ("train_loss", "sst", "dev_score", "leaderboard_score")} | {
        "final/peak_rss_gib",
        "final/trainable_parameters",
    }
    assert set(scalars_in(tmp_path)) == tags


def test_files_begin_as_tensorboard_wants_them(tmp_path):
    with ScalarLog(tmp_path) as log:
        log.add_epoch(EPOCH)
    first, *others = events_in(tmp_path)
    assert first.file_version == "brain.Event:2"
    assert all(event.wall_time == pytest.approx(first.wall_time, abs=60) for event in others)
