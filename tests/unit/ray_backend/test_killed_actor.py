"""An actor that Ray killed for memory is a dead one to Tune; every other error is what it was."""

import pickle
from types import SimpleNamespace

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from mtbert_ray.compat import replaced_actor_errors
from mtbert_ray.ray_backend.failure import KilledForMemoryError, as_dead_actor


def errors_of(exception: Exception) -> list[tuple[str, Exception]]:
    """Return what Tune reports of a failed call: of the actor, and of the task."""
    seen: list[tuple[str, Exception]] = []
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    actor = SimpleNamespace(actor_id=7, _on_error=lambda actor, error: seen.append(("actor", error)))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda actor, error: seen.append(("task", error)))
    RayActorManager._actor_task_failed(manager, tracked_actor_task=task, exception=exception)
    return seen


def test_tune_alone_lets_it_end_the_sweep():
    """Once this fails, Ray has mended it, and `replaced_actor_errors` can go."""
    with pytest.raises(RuntimeError, match="Caught unexpected exception: no memory"):
        errors_of(OutOfMemoryError("no memory"))


def test_a_killed_actor_is_a_dead_one():
    with replaced_actor_errors(as_dead_actor):
        (of_actor, error), (of_task, same) = errors_of(OutOfMemoryError("no memory"))
    assert (of_actor, of_task) == ("actor", "task") and same is error
    assert isinstance(error, RayActorError) and str(error) == "no memory"
    assert not error.preempted and not error.actor_init_failed


def test_other_errors_stay_what_they_are():
    died = ActorDiedError()
    failed = RayTaskError("step", "Traceback", ValueError("no"), proctitle="p", pid=1, ip="127.0.0.1")
    with replaced_actor_errors(as_dead_actor):
        assert errors_of(died) == [("actor", died), ("task", died)]
        assert errors_of(failed) == [("task", failed)]
        with pytest.raises(RuntimeError, match="Caught unexpected exception"):
            errors_of(ValueError("of nobody"))


def test_tune_is_as_it_was_afterwards():
    before = RayActorManager._actor_task_failed
    with pytest.raises(KeyboardInterrupt), replaced_actor_errors(as_dead_actor):
        assert RayActorManager._actor_task_failed is not before
        raise KeyboardInterrupt
    assert RayActorManager._actor_task_failed is before


def test_it_is_itself_after_tune_has_pickled_it():
    error = pickle.loads(pickle.dumps(KilledForMemoryError("no memory")))
    assert isinstance(error, KilledForMemoryError) and str(error) == "no memory"
