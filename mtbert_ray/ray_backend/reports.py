"""What a worker reports to Tune: events for the journal. It loads without what trains."""

import platform
from typing import Any

import ray

from mtbert_ray.events import EpochFinished, ProbeFinished, TrialFailed, TrialResumed, TrialStopped
from mtbert_ray.ray_backend.failure import is_own_memory, memory_message


def event_report(event: TrialResumed | ProbeFinished | EpochFinished | TrialStopped | TrialFailed) -> dict[str, Any]:
    """Return a worker's report to Tune of an event, with the node that it comes from."""
    return {
        # The driver sets the time: clocks of nodes differ.
        "event": event.model_dump_json(exclude={"time"}),
        # Checkpoint, traces and state are there.
        "node_id": ray.get_runtime_context().get_node_id(),
        "node_name": platform.node(),
    }


def out_of_memory_report(end: TrialStopped | TrialFailed) -> dict[str, Any]:
    """Return a trial's last report to Tune when it runs out of memory: its `out_of_memory`."""
    return {**event_report(end), "done": True}


def out_of_memory(
    trial_id: str, error: BaseException | None, *, alone: bool = False
) -> TrialStopped | TrialFailed | None:
    """Return the end of a trial that ran out of memory; None for another error.

    Only where its own memory explains it the config is to blame. `alone` says that no other trial ran beside it.
    """
    message = memory_message(error)
    if message is None:
        return None
    if is_own_memory(error, alone=alone):
        return TrialStopped(trial_id=trial_id, reason=f"out of memory: {message}", kind="memory")
    return TrialFailed(trial_id=trial_id, reason=f"others took its memory: {message}", kind="memory_taken")
