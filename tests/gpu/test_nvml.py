"""The NVML reader and the meter on a real GPU, against what torch has allocated."""

import pytest
import torch

from mtbert_ray.resources.gpu import NvmlReader, list_gpus
from mtbert_ray.resources.meter import Meter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a torch built for it"),
]

GIB = 2**30


def open_reader():
    return NvmlReader(f"GPU-{torch.cuda.get_device_properties(0).uuid}")


def test_memory_follows_an_allocation_of_two_gib():
    torch.zeros(1, device="cuda:0")
    reader = open_reader()
    before = reader.read()
    if before.process_memory_gib is None:
        pytest.skip("NVML does not tell this process's memory here")
    block = torch.empty(2 * GIB, dtype=torch.uint8, device="cuda:0")
    after = reader.read()
    reader.close()
    assert after.process_memory_gib - before.process_memory_gib == pytest.approx(2.0, abs=0.1)
    assert after.process_memory_gib >= torch.cuda.memory_allocated(0) / GIB
    del block
    torch.cuda.empty_cache()


def test_work_costs_energy_and_utilization():
    matrix = torch.randn(4096, 4096, device="cuda:0")
    with Meter(open_reader(), interval_seconds=0.05) as meter:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        while True:
            for _ in range(50):
                matrix @ matrix
            end.record()
            end.synchronize()
            if start.elapsed_time(end) > 2000:
                break
        seconds = start.elapsed_time(end) / 1000
    usage = meter.usage()
    if usage.energy_kj is not None:
        watts = usage.energy_kj * 1000 / seconds
        assert 10 < watts < 2000
    if usage.gpu_utilization_peak is not None:
        assert 0 < usage.gpu_utilization_mean <= usage.gpu_utilization_peak <= 100
    assert usage.energy_kj is not None or usage.gpu_problem
    assert usage.peak_memory_gib is not None or usage.gpu_problem


def test_the_listed_cards_hold_the_one_torch_uses():
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}"
    (gpu_listed,) = [gpu for gpu in list_gpus() if gpu.uuid == uuid]
    assert gpu_listed.name == torch.cuda.get_device_name(0)
    assert gpu_listed.memory_gib >= torch.cuda.get_device_properties(0).total_memory / GIB * 0.9
