"""Makes Ray's killing of an actor for want of memory the end of its trial, as any other death is, not of the sweep.

When a node's memory runs out, Ray's monitor kills a worker, and the actor's call fails with OutOfMemoryError. Tune 2.60
knows RayActorError and RayTaskError alone (ray/air/execution/_internal/actor_manager.py, `_actor_task_failed`): this
third kind it raises on as "unexpected", out of Tuner.fit().
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError


class KilledForMemoryError(RayActorError):  # type: ignore[misc]  # Ray is untyped
    """Ray's monitor killed an actor because its node's memory was running out.

    Args:
        message: Ray's own, of many lines.
    """

    def __init__(self, message: str) -> None:
        super().__init__(error_msg=message)


@contextmanager
def killed_actors_end_only_their_trial() -> Iterator[None]:
    """Let Tune take an actor that Ray killed for memory for a dead one, as it is, within this context."""
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
