"""What a process took, from samples with their times, and what a trial took, from its ranks. Pure arithmetic.

Knows readings and time, not where they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtbert_ray.resources.gpu import GpuSample


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process, or all ranks of a trial, took since metering began. Null is "not known", never zero."""

    peak_memory_gib: float | None
    gpu_utilization_mean: float | None
    """Percent, over the time that counted."""
    gpu_utilization_peak: float | None
    """Percent."""
    energy_kj: float | None
    peak_rss_gib: float
    cpu_seconds: float
    gpu_shared: bool | None
    """Whether another process computed on the GPU meanwhile. Then `energy_kj` is null: the card has one power meter."""
    gpu_problem: str | None
    """Why GPU quantities are null although there is a GPU to read."""

    def metrics(self) -> dict[str, float | None]:
        """Return the quantities under their names in `mtbert_ray.metrics`."""
        return {
            "peak_memory_gib": self.peak_memory_gib,
            "gpu_utilization_mean": self.gpu_utilization_mean,
            "gpu_utilization_peak": self.gpu_utilization_peak,
            "energy_kj": self.energy_kj,
            "peak_rss_gib": self.peak_rss_gib,
            "cpu_seconds": self.cpu_seconds,
        }


def reduce_usages(usages: Sequence[Usage]) -> Usage:
    """Return the usage of a trial from those of its ranks: the largest memory, the summed energy and CPU time.

    A GPU quantity that one rank does not know is null for the trial.
    """
    assert usages, "a trial has at least one rank"
    problems = [f"rank {rank}: {usage.gpu_problem}" for rank, usage in enumerate(usages) if usage.gpu_problem]
    means = _all_known([usage.gpu_utilization_mean for usage in usages])
    peaks = _all_known([usage.gpu_utilization_peak for usage in usages])
    memories = _all_known([usage.peak_memory_gib for usage in usages])
    energies = _all_known([usage.energy_kj for usage in usages])
    return Usage(
        peak_memory_gib=max(memories) if memories else None,
        gpu_utilization_mean=sum(means) / len(means) if means else None,
        gpu_utilization_peak=max(peaks) if peaks else None,
        energy_kj=sum(energies) if energies else None,
        peak_rss_gib=max(usage.peak_rss_gib for usage in usages),
        cpu_seconds=sum(usage.cpu_seconds for usage in usages),
        gpu_shared=_any_shared([usage.gpu_shared for usage in usages]),
        gpu_problem="; ".join(problems) or None,
    )


def _all_known(values: Sequence[float | None]) -> list[float]:
    """Return the values, or nothing when one of them is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _any_shared(answers: Sequence[bool | None]) -> bool | None:
    """Return True for one yes; null without a yes where one answer is missing."""
    return True if True in answers else None if None in answers else False


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
    """GPU samples with their times, folded into totals. Pure: no clock, no device, no thread."""

    def __init__(self) -> None:
        self._memory, self._utilization, self._power = _Series(), _Series(), _Series()
        self._shared: list[bool | None] = []
        self._counting = False
        self.failure: str | None = None

    def add(self, at: float, sample: GpuSample) -> None:
        """Take a sample; `at` is in seconds and never falls. Outside of `counting` it tells of memory only."""
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
        """Leave the time from here to `count` out of utilization and energy."""
        self._counting = False
        self._utilization.interrupt()
        self._power.interrupt()

    def usage(self, *, peak_rss_gib: float, cpu_seconds: float) -> Usage:
        """Return the totals so far, with the process's own beside them."""
        usable = self.failure is None
        # A process that uses a GPU holds memory on it, so a peak of zero means that NVML never showed ours.
        memory = self._memory.peak if usable and self._memory.known and self._memory.peak else None
        utilization_known, power_known = usable and self._utilization.known, usable and self._power.known
        shared = _any_shared([*self._shared, *([] if usable and self._shared else [None])])
        energy_kj = self._power.integral / 1000 if power_known and not shared else None
        mean = self._utilization.mean if utilization_known else None
        untold = [
            name for name, value in (("memory", memory), ("utilization", mean), ("power", energy_kj)) if value is None
        ]
        reason = f"the GPU did not tell this process's {', '.join(untold)} throughout" if untold else None
        if shared and untold == ["power"]:
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
        )
