"""Times training steps: their CPU time, or their wall time on a GPU."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds of training: of the processor, or of the wall clock on a GPU, which is waited for at both ends alone.

    Args:
        device: what is trained on.
        warm_up_steps: first steps that do not count.
    """

    def __init__(self, device: torch.device, *, warm_up_steps: int) -> None:
        self.seconds = 0.0
        self.steps = 0
        """Counted ones."""
        self._device = device
        self._ahead = warm_up_steps
        self._started = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside."""
        self.start()
        yield
        self.stop()

    def start(self) -> None:
        """Begin to count."""
        self._started = self._now()

    def stop(self) -> None:
        """Count no more, until it is started again."""
        self.seconds += self._now() - self._started

    def step(self) -> None:
        """Note that a step was taken."""
        if self._ahead == 0:
            self.steps += 1
            return
        self._ahead -= 1
        if self._ahead == 0:
            self.seconds, self._started = 0.0, self._now()

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            return time.perf_counter()
        return time.process_time()
