"""Metering: closed forms on made-up samples, real memory of this process, and null where something is not known."""

import platform
import threading
import warnings

import numpy as np
import pytest
from fake_gpu import FakeGpuReader

from mtbert_ray.metrics import METRICS
from mtbert_ray.resources.gpu import GpuReadError, GpuSample
from mtbert_ray.resources.meter import GpuTotals, Meter, return_freed_memory
from mtbert_ray.resources.usage import Usage, reduce_usages

NEVER = 3600.0  # the thread takes no sample of its own


class Clock:
    """Returns the given times one after the other, then the last one."""

    def __init__(self, *times):
        self._times = list(times)

    def __call__(self):
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]


def sample(memory=1.0, utilization=50.0, power=100.0, shared=False):
    return GpuSample(process_memory_gib=memory, utilization_percent=utilization, power_watts=power, shared=shared)


def totals_of(*samples):
    totals = GpuTotals()
    totals.count()
    for at, one in samples:
        totals.add(at, one)
    return totals


def usage_of(totals):
    return totals.usage(peak_rss_gib=1.0, cpu_seconds=1.0)


def test_energy_is_the_trapezoid_of_power_over_uneven_gaps():
    totals = totals_of((10.0, sample(power=100.0)), (11.0, sample(power=300.0)), (15.0, sample(power=100.0)))
    # 1 s at a mean of 200 W, then 4 s at a mean of 200 W.
    assert usage_of(totals).energy_kj == pytest.approx(1.0)


def test_a_linear_rise_of_power_has_the_same_energy_however_it_is_sampled():
    times = np.sort(np.random.default_rng(0).uniform(0.0, 20.0, size=50))
    totals = totals_of(*((float(at), sample(power=10.0 * float(at))) for at in [0.0, *times, 20.0]))
    assert usage_of(totals).energy_kj == pytest.approx(10.0 * 20.0**2 / 2 / 1000)


def test_mean_utilization_weighs_time_not_samples():
    # Three samples in the busy 1 s, one at the end of the idle 9 s.
    busy, idle = sample(utilization=100.0), sample(utilization=0.0)
    totals = totals_of((0.0, busy), (0.5, busy), (1.0, busy), (1.0, idle), (10.0, idle))
    usage = usage_of(totals)
    assert usage.gpu_utilization_mean == pytest.approx(10.0)
    assert usage.gpu_utilization_peak == 100.0


def test_peak_memory_is_the_largest_sample():
    totals = totals_of((0.0, sample(memory=0.0)), (1.0, sample(memory=7.5)), (2.0, sample(memory=2.0)))
    assert usage_of(totals).peak_memory_gib == 7.5


def test_a_single_sample_is_its_own_mean_and_no_energy():
    usage = usage_of(totals_of((5.0, sample(utilization=30.0, power=200.0))))
    assert (usage.gpu_utilization_mean, usage.energy_kj) == (30.0, 0.0)


def test_memory_that_nvml_never_shows_is_null_and_says_so():
    usage = usage_of(totals_of((0.0, sample(memory=0.0)), (1.0, sample(memory=0.0))))
    assert usage.peak_memory_gib is None
    assert usage.gpu_problem == "the GPU did not report this process's memory throughout"
    assert usage.gpu_utilization_mean == 50.0


def test_one_missing_value_makes_that_quantity_null_and_no_other():
    usage = usage_of(totals_of((0.0, sample()), (1.0, sample(power=None)), (2.0, sample())))
    assert usage.energy_kj is None
    assert (usage.peak_memory_gib, usage.gpu_utilization_mean) == (1.0, 50.0)
    assert usage.gpu_problem == "the GPU did not report this process's power throughout"


@pytest.mark.parametrize(
    ("answers", "shared"),
    [((False, False), False), ((False, True), True), ((None, True), True), ((False, None), None)],
)
def test_shared_once_is_shared_and_not_known_is_not_no(answers, shared):
    totals = totals_of(*((float(at), sample(shared=answer)) for at, answer in enumerate(answers)))
    assert usage_of(totals).gpu_shared is shared


def test_a_pause_is_left_out_of_energy_and_utilization_but_not_of_memory():
    totals = totals_of((0.0, sample(utilization=100.0, power=100.0)), (10.0, sample(utilization=100.0, power=100.0)))
    totals.pause()
    totals.add(50.0, sample(memory=9.0, utilization=1.0, power=900.0))
    totals.count()
    totals.add(100.0, sample(utilization=50.0, power=200.0))
    totals.add(110.0, sample(utilization=50.0, power=200.0))
    usage = usage_of(totals)
    assert usage.energy_kj == pytest.approx(3.0)
    assert usage.gpu_utilization_mean == pytest.approx(75.0)
    assert usage.peak_memory_gib == 9.0


def test_the_meter_samples_at_start_at_usage_and_at_stop():
    reader = FakeGpuReader([sample(memory=1.0), sample(memory=3.0), sample(memory=2.0)])
    meter = Meter(reader, interval_seconds=NEVER, clock=Clock(0.0, 2.0, 3.0))
    meter.start()
    meter.start()
    assert meter.usage().peak_memory_gib == 3.0
    meter.stop()
    meter.stop()
    assert meter.usage() == meter.usage()
    assert reader.reads == 3
    assert reader.closed


def test_energy_and_utilization_count_within_the_training_only():
    reader = FakeGpuReader([sample(power=100.0)])
    # Times of: start, entering, leaving, a scoring of 100 s that ends by entering again, leaving, usage.
    with Meter(reader, interval_seconds=NEVER, clock=Clock(0.0, 1.0, 3.0, 103.0, 104.0, 110.0)) as meter:
        for _ in range(2):
            with meter.counting():
                pass
        assert meter.usage().energy_kj == pytest.approx(100 * (2 + 1) / 1000)


def test_a_shared_card_s_energy_is_nobody_s():
    usage = usage_of(totals_of((0.0, sample(shared=False)), (1.0, sample(shared=True))))
    assert usage.energy_kj is None and usage.gpu_shared is True
    assert usage.peak_memory_gib is not None
    assert usage.gpu_problem == "another process computed on the GPU, so this trial's energy is not known"


def test_the_thread_samples_on_its_own():
    enough = threading.Event()

    class Counting(FakeGpuReader):
        def read(self):
            if self.reads >= 5:
                enough.set()
            return super().read()

    with Meter(Counting([sample()]), interval_seconds=0.001):
        assert enough.wait(timeout=30)


def test_a_reader_that_fails_midway_warns_once_and_leaves_null_not_zero():
    reader = FakeGpuReader([sample(memory=4.0), GpuReadError("GPU GPU-1 does not answer NVML: lost")])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Meter(reader, interval_seconds=NEVER, clock=Clock(0.0, 1.0)) as meter:
            meter.usage()
            meter.usage()
    assert [str(warning.message) for warning in caught] == [
        "GPU GPU-1 does not answer NVML: lost; this trial's GPU metrics are null"
    ]
    usage = meter.usage()
    assert (usage.peak_memory_gib, usage.gpu_utilization_mean, usage.gpu_utilization_peak) == (None, None, None)
    assert (usage.energy_kj, usage.gpu_shared) == (None, None)
    assert usage.gpu_problem == "GPU GPU-1 does not answer NVML: lost"
    assert usage.peak_rss_gib > 0
    assert reader.reads == 2
    assert reader.closed


def test_without_a_gpu_the_process_is_measured_and_gpu_quantities_are_null():
    with Meter(None, interval_seconds=NEVER) as meter:
        spent = meter.usage().cpu_seconds
        while meter.usage().cpu_seconds < spent + 0.02:
            pass
    metrics = meter.usage().metrics()
    assert set(metrics) <= set(METRICS)
    for name, value in metrics.items():
        assert (value is None) == METRICS[name].needs_gpu, name
    assert meter.usage().gpu_problem is None


def test_resident_memory_follows_a_real_allocation():
    with Meter(None, interval_seconds=NEVER) as meter:
        before = meter.usage().peak_rss_gib
        block = np.ones(200 * 2**20, dtype=np.uint8)
        grown = meter.usage().peak_rss_gib
        assert int(block[0]) == 1
        del block
        after = meter.usage().peak_rss_gib
    assert 0.18 < grown - before < 0.25
    assert after == grown


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what was freed")
def test_the_next_trial_of_a_process_does_not_inherit_freed_memory():
    def resident() -> float:
        with Meter(None, interval_seconds=NEVER) as meter:
            return meter.usage().peak_rss_gib

    # Blocks below glibc's mmap threshold stay in its heap when freed: the last one keeps the heap from shrinking.
    blocks = [bytearray(64 * 1024) for _ in range(3000)]
    full = resident()
    del blocks[:-1]
    assert full - resident() < 0.05
    return_freed_memory()
    assert full - resident() > 0.1


def usage(**changed):
    fields = {
        "peak_memory_gib": 2.0,
        "gpu_utilization_mean": 40.0,
        "gpu_utilization_peak": 90.0,
        "energy_kj": 5.0,
        "peak_rss_gib": 1.0,
        "cpu_seconds": 10.0,
        "gpu_shared": False,
        "gpu_problem": None,
    }
    return Usage(**(fields | changed))


def test_reduction_over_ranks():
    other = usage(
        peak_memory_gib=3.0,
        gpu_utilization_mean=60.0,
        gpu_utilization_peak=80.0,
        energy_kj=7.0,
        peak_rss_gib=0.5,
        gpu_shared=True,
    )
    assert reduce_usages([usage(), other]) == usage(
        peak_memory_gib=3.0,
        gpu_utilization_mean=50.0,
        gpu_utilization_peak=90.0,
        energy_kj=12.0,
        cpu_seconds=20.0,
        gpu_shared=True,
    )


def test_one_rank_without_a_value_makes_the_trials_null_and_keeps_the_reason():
    reduced = reduce_usages([usage(), usage(energy_kj=None, gpu_shared=None, gpu_problem="power is not known")])
    assert reduced == usage(energy_kj=None, cpu_seconds=20.0, gpu_shared=None, gpu_problem="rank 1: power is not known")


def test_reduction_of_one_rank_changes_nothing_even_when_everything_is_zero():
    alone = usage(gpu_utilization_mean=0.0, gpu_utilization_peak=0.0, energy_kj=0.0)
    assert reduce_usages([alone]) == alone
