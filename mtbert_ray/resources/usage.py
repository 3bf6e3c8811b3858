"""What a trial used: of one process, over its ranks, and over its attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from mtbert_ray.resources.node_cpu import CpuSpan


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process, or all ranks of a trial, used since metering began. Null is "not known", never zero."""

    peak_rss_gib: float
    cpu_seconds: float
    peak_memory_gib: float | None = None
    gpu_utilization_mean: float | None = None
    """Percent, over the time that counted."""
    gpu_utilization_peak: float | None = None
    """Percent."""
    energy_kj: float | None = None
    gpu_shared: bool | None = None
    """Whether another process computed on the GPU meanwhile. Then `energy_kj` is null: a GPU has one power meter."""
    gpu_problem: str | None = None
    """Why GPU quantities are null although there is a GPU to read."""
    gpu_seconds_counted: float = 0.0
    """Time that `gpu_utilization_mean` is over."""
    cpu_spans: tuple[CpuSpan, ...] = ()
    """Of a process, one an attempt: `others_cpus` makes what others took of those of all ranks."""

    @classmethod
    def of_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what `asdict` gave."""
        return cls(**{**content, "cpu_spans": tuple(CpuSpan(**span) for span in content.get("cpu_spans", ()))})

    def metrics(self) -> dict[str, float | None]:
        """Return the quantities under their names in `mtbert_ray.metrics`."""
        return {name: value for name, value in asdict(self).items() if name not in _NO_METRICS}

    def after(self, earlier: "Usage") -> "Usage":
        """Return the usage of a process that continues what an earlier one began: totals add up, peaks are the larger.

        A GPU quantity that one of them does not know is null.
        """
        counted = earlier.gpu_seconds_counted + self.gpu_seconds_counted
        means = [(each.gpu_utilization_mean, each.gpu_seconds_counted) for each in (earlier, self)]
        known = _all_known([mean for mean, _ in means])
        weighted = sum(mean * seconds for mean, (_, seconds) in zip(known, means, strict=False))
        memories = _all_known([earlier.peak_memory_gib, self.peak_memory_gib])
        peaks = _all_known([earlier.gpu_utilization_peak, self.gpu_utilization_peak])
        energies = _all_known([earlier.energy_kj, self.energy_kj])
        return Usage(
            peak_rss_gib=max(earlier.peak_rss_gib, self.peak_rss_gib),
            cpu_seconds=earlier.cpu_seconds + self.cpu_seconds,
            peak_memory_gib=max(memories) if memories else None,
            gpu_utilization_mean=(weighted / counted if counted else known[-1]) if known else None,
            gpu_utilization_peak=max(peaks) if peaks else None,
            energy_kj=sum(energies) if energies else None,
            gpu_shared=any_shared([earlier.gpu_shared, self.gpu_shared]),
            gpu_problem=earlier.gpu_problem or self.gpu_problem,
            gpu_seconds_counted=counted,
            cpu_spans=(*earlier.cpu_spans, *self.cpu_spans),
        )


_NO_METRICS = ("gpu_shared", "gpu_problem", "gpu_seconds_counted", "cpu_spans")


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
        gpu_shared=any_shared([usage.gpu_shared for usage in usages]),
        gpu_problem="; ".join(problems) or None,
    )


def _all_known(values: Sequence[float | None]) -> list[float]:
    """Return the values, or none of them when one is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def any_shared(answers: Sequence[bool | None]) -> bool | None:
    """Return True for one yes; null without a yes where one answer is missing."""
    return True if True in answers else None if None in answers else False
