"""Meters one trial in one process: a thread that samples, and the totals of the samples over time."""

import ctypes
import gc
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Self

import psutil

from mtbert_ray.resources.gpu import GpuReader, GpuReadError, GpuSample
from mtbert_ray.resources.node_cpu import CpuTotals, ReadNodeCpu, read_node_cpu
from mtbert_ray.resources.usage import Usage, any_shared

_GIB = 2**30


class _Series:
    """One quantity over time: its peak, and its integral by the trapezoid rule."""

    def __init__(self) -> None:
        self.peak: float | None = None
        self.integral = 0.0
        self.seconds = 0.0
        self._last: tuple[float, float] | None = None
        self._known = True

    def add(self, at: float, value: float | None) -> None:
        if value is None:
            # A peak or a mean over the rest of the trial would pass for the whole trial's.
            self._known = False
            return
        self.peak = value if self.peak is None else max(self.peak, value)
        if self._last is not None:
            # Samples come at uneven gaps: each counts for the time it stands for.
            gap = at - self._last[0]
            self.integral += gap * (value + self._last[1]) / 2
            self.seconds += gap
        self._last = (at, value)

    def interrupt(self) -> None:
        """Leave out the time until the next value."""
        self._last = None

    @property
    def known(self) -> bool:
        return self._known and self.peak is not None

    @property
    def mean(self) -> float | None:
        return self.integral / self.seconds if self.seconds > 0 else self.peak


class GpuTotals:
    """Totals of GPU samples with their times."""

    def __init__(self) -> None:
        self._memory, self._utilization, self._power = _Series(), _Series(), _Series()
        self._shared: list[bool | None] = []
        self._counting = False
        self.failure: str | None = None

    def add(self, at: float, sample: GpuSample) -> None:
        """Add a sample; `at` is in seconds and never falls. While not counting, only memory is taken from it."""
        self._memory.add(at, sample.process_memory_gib)
        if sample.shared not in self._shared:
            self._shared.append(sample.shared)
        if self._counting:
            self._utilization.add(at, sample.utilization_percent)
            self._power.add(at, sample.power_watts)

    def count(self) -> None:
        """Count utilization and energy from the next sample on; memory always counts."""
        self._counting = True

    def pause(self) -> None:
        """Count no utilization and energy until the next `count`."""
        self._counting = False
        self._utilization.interrupt()
        self._power.interrupt()

    def usage(self, *, peak_rss_gib: float, cpu_seconds: float) -> Usage:
        """Return the totals so far, together with those of the process."""
        usable = self.failure is None
        # A process that uses a GPU holds memory on it, so a peak of zero means that NVML never showed ours.
        memory = self._memory.peak if usable and self._memory.known and self._memory.peak else None
        utilization_known, power_known = usable and self._utilization.known, usable and self._power.known
        shared = any_shared([*self._shared, *([] if usable and self._shared else [None])])
        energy_kj = self._power.integral / 1000 if power_known and not shared else None
        mean = self._utilization.mean if utilization_known else None
        unknown = [
            name for name, value in (("memory", memory), ("utilization", mean), ("power", energy_kj)) if value is None
        ]
        reason = f"the GPU did not report this process's {', '.join(unknown)} throughout" if unknown else None
        if shared and unknown == ["power"]:
            reason = "another process computed on the GPU, so this trial's energy is not known"
        return Usage(
            peak_memory_gib=memory,
            gpu_utilization_mean=mean,
            gpu_utilization_peak=self._utilization.peak if utilization_known else None,
            energy_kj=energy_kj,
            peak_rss_gib=peak_rss_gib,
            cpu_seconds=cpu_seconds,
            gpu_shared=shared,
            gpu_problem=self.failure or reason,
            gpu_seconds_counted=self._utilization.seconds,
        )


class Meter:
    """Samples this process, and its GPU where there is one, from `start` to `stop`. Runs once, for one trial.

    Memory and CPU time count throughout; utilization, energy and what other processes took within `counting` only.

    Args:
        reader: of the GPU that this process trains on; none on a CPU. The meter closes it.
        interval_seconds: between samples of the thread; `start`, `usage` and `stop` sample as well, so that a trial of
            any length has some.
        clock: seconds that never fall.
        node_cpu: reads the CPU time of all processes of this node.
    """

    def __init__(
        self,
        reader: GpuReader | None,
        *,
        interval_seconds: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        node_cpu: ReadNodeCpu = read_node_cpu,
    ) -> None:
        self._reader = reader
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._process = psutil.Process()
        self._gpu = GpuTotals() if reader is not None else None
        self._peak_rss_gib = 0.0
        self._cpu_at_start: float | None = None
        self._cpu_seconds = 0.0
        # A clock of its own: each is read only so often.
        self._cpu = CpuTotals(node_cpu, own=time.process_time, clock=time.monotonic)
        # One lock over reading and adding: samples of the thread and of `usage` arrive in the order of their times.
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="meter", daemon=True)

    def start(self) -> None:
        """Start sampling; a second call does nothing."""
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
        with self._lock:  # `usage` in another thread may be reading
            if self._reader is not None:
                self._reader.close()

    def usage(self) -> Usage:
        """Return the totals up to this moment, or up to `stop`."""
        assert self._cpu_at_start is not None, "start the meter before asking for its totals"
        self._sample()
        with self._lock:
            usage = Usage(peak_rss_gib=self._peak_rss_gib, cpu_seconds=self._cpu_seconds)
            if self._gpu is not None:
                usage = self._gpu.usage(peak_rss_gib=self._peak_rss_gib, cpu_seconds=self._cpu_seconds)
            return replace(usage, cpu_spans=(self._cpu.span(),))

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what counts over a span only: the training, not the scoring or the writing of checkpoints."""
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
            for totals in (self._cpu, self._gpu):
                if totals is not None:
                    totals.count() if counting else totals.pause()

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
            # Totals of a part of the trial would look like a cheaper trial.
            self._gpu.failure = str(error)
            warnings.warn(f"{error}; this trial's GPU metrics are null", RuntimeWarning, stacklevel=2)


def return_freed_memory() -> None:
    """Return the memory freed by an earlier trial of this process to the system.

    glibc keeps freed memory, which would count in the next trial's resident size. Other C libraries have no
    malloc_trim.
    """
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
