"""The sampling thread over one trial of one process: reads, times, and hands the arithmetic to `usage`.

Any `GpuReader` will do, and none at all on a CPU.
"""

import ctypes
import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psutil

from mtbert_ray.resources.gpu import GpuReader, GpuReadError
from mtbert_ray.resources.usage import GpuTotals, Usage

_GIB = 2**30


class Meter:
    """Samples this process, and its GPU where there is one, from `start` to `stop`. Runs once, for one trial.

    Memory and CPU time count throughout, utilization and energy within `counting` only.

    Args:
        reader: of the GPU that this process trains on; none on a CPU. The meter closes it.
        interval_seconds: between samples of the thread; `start`, `usage` and `stop` sample as well, so that a trial of
            any length has some.
        clock: seconds that never fall.
    """

    def __init__(
        self, reader: GpuReader | None, *, interval_seconds: float = 0.1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._process = psutil.Process()
        self._gpu = GpuTotals() if reader is not None else None
        self._peak_rss_gib = 0.0
        self._cpu_at_start: float | None = None
        self._cpu_seconds = 0.0
        # One lock over reading and adding: samples of the thread and of `usage` arrive in the order of their times.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="meter", daemon=True)

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._cpu_at_start is not None:
            return
        self._cpu_at_start = time.process_time()
        self._sample()
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end; a second call does nothing."""
        if self._cpu_at_start is None or self._stopped.is_set():
            return
        self._sample()
        self._stopped.set()
        self._thread.join()
        with self._lock:  # not under a reading that another thread's `usage` has begun
            if self._reader is not None:
                self._reader.close()

    def usage(self) -> Usage:
        """Return the totals up to this moment, or up to `stop`."""
        assert self._cpu_at_start is not None, "start the meter before asking for its totals"
        self._sample()
        with self._lock:
            process = {"peak_rss_gib": self._peak_rss_gib, "cpu_seconds": self._cpu_seconds}
            if self._gpu is not None:
                return self._gpu.usage(**process)
            return Usage(
                peak_memory_gib=None,
                gpu_utilization_mean=None,
                gpu_utilization_peak=None,
                energy_kj=None,
                gpu_shared=None,
                gpu_problem=None,
                **process,
            )

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count utilization and energy over a span: the training, not the scoring or the writing of checkpoints."""
        self._switch(counting=True)
        self._sample()
        try:
            yield
        finally:
            self._sample()
            self._switch(counting=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _switch(self, *, counting: bool) -> None:
        with self._lock:
            if self._gpu is not None:
                self._gpu.count() if counting else self._gpu.pause()

    def _sample_until_stopped(self) -> None:
        while not self._stopped.wait(self._interval_seconds):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            if self._stopped.is_set() or self._cpu_at_start is None:
                return
            self._cpu_seconds = time.process_time() - self._cpu_at_start
            self._peak_rss_gib = max(self._peak_rss_gib, self._process.memory_info().rss / _GIB)
            self._sample_gpu()

    def _sample_gpu(self) -> None:
        if self._reader is None or self._gpu is None or self._gpu.failure is not None:
            return
        at = self._clock()
        try:
            self._gpu.add(at, self._reader.read())
        except GpuReadError as error:
            # Totals of a part of the trial would look like a cheaper trial, so they are given up.
            self._gpu.failure = str(error)
            warnings.warn(f"{error}; this trial's GPU metrics are null", RuntimeWarning, stacklevel=2)


def return_freed_memory() -> None:
    """Hand memory freed by an earlier trial of this process back to the system.

    A process that is used again would otherwise begin with the last trial's memory in its resident size: glibc keeps
    what was freed. Other C libraries have no malloc_trim and give back on their own.
    """
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
