"""Tune takes an actor that Ray killed for memory for a dead one, and everything else as it did."""

import pickle
from types import SimpleNamespace

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from mtbert_ray.ray_backend.killed_actor import KilledForMemoryError, killed_actors_end_only_their_trial


def heard_from(exception: Exception) -> list[tuple[str, Exception]]:
    """Return what Tune tells of a failed call: of the actor, and of the task."""
    heard: list[tuple[str, Exception]] = []
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    actor = SimpleNamespace(actor_id=7, _on_error=lambda actor, error: heard.append(("actor", error)))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda actor, error: heard.append(("task", error)))
    RayActorManager._actor_task_failed(manager, tracked_actor_task=task, exception=exception)
    return heard


def test_tune_alone_lets_it_end_the_sweep():
    """Once this fails, Ray has mended it, and killed_actor.py can go."""
    with pytest.raises(RuntimeError, match="Caught unexpected exception: no memory"):
        heard_from(OutOfMemoryError("no memory"))


def test_a_killed_actor_is_a_dead_one():
    with killed_actors_end_only_their_trial():
        (of_actor, error), (of_task, same) = heard_from(OutOfMemoryError("no memory"))
    assert (of_actor, of_task) == ("actor", "task") and same is error
    assert isinstance(error, RayActorError) and str(error) == "no memory"
    assert not error.preempted and not error.actor_init_failed


def test_other_errors_stay_what_they_are():
    died = ActorDiedError()
    failed = RayTaskError("step", "Traceback", ValueError("no"), proctitle="p", pid=1, ip="127.0.0.1")
    with killed_actors_end_only_their_trial():
        assert heard_from(died) == [("actor", died), ("task", died)]
        assert heard_from(failed) == [("task", failed)]
        with pytest.raises(RuntimeError, match="Caught unexpected exception"):
            heard_from(ValueError("of nobody"))


def test_tune_is_as_it_was_afterwards():
    before = RayActorManager._actor_task_failed
    with pytest.raises(KeyboardInterrupt), killed_actors_end_only_their_trial():
        assert RayActorManager._actor_task_failed is not before
        raise KeyboardInterrupt
    assert RayActorManager._actor_task_failed is before


def test_it_is_itself_after_tune_has_pickled_it():
    error = pickle.loads(pickle.dumps(KilledForMemoryError("no memory")))
    assert isinstance(error, KilledForMemoryError) and str(error) == "no memory"
