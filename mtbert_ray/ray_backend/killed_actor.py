"""Lets an actor that Ray's memory monitor kills fail its trial and not the sweep.

The actor's call then fails with OutOfMemoryError. Tune 2.60 handles RayActorError and RayTaskError only
(ray/air/execution/_internal/actor_manager.py, `_actor_task_failed`) and raises any other out of Tuner.fit().
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError


class KilledForMemoryError(RayActorError):  # type: ignore[misc]  # Ray is untyped
    """Ray's memory monitor killed an actor; the message is Ray's own, of many lines."""

    def __init__(self, message: str) -> None:
        super().__init__(error_msg=message)


@contextmanager
def killed_actors_end_only_their_trial() -> Iterator[None]:
    """Within this context, Tune handles an actor that was killed for memory as a dead one."""
    of_tune = RayActorManager._actor_task_failed

    def failed(manager: RayActorManager, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = KilledForMemoryError(str(exception))
        of_tune(manager, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = of_tune
