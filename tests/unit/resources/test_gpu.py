"""The NVML reader against a fake of pynvml: the memory of this process and of others, and what is null."""
# ruff: noqa: N802, N815  (NVML's own names)

from types import SimpleNamespace

import pytest
from fake_gpu import FakeGpuReader

from mtbert_ray.resources.gpu import GpuReadError, GpuSample, NvmlReader, list_gpus

GIB = 2**30
ME = 4242
NOT_SUPPORTED, NO_PERMISSION, INVALID_ARGUMENT, NOT_FOUND, GPU_IS_LOST = 3, 4, 2, 6, 15


class FakeNvmlError(Exception):
    def __init__(self, value):
        super().__init__(f"NVML error {value}")
        self.value = value


class FakeNvml:
    """The part of pynvml that the reader calls; any answer may be an error to raise."""

    NVMLError = FakeNvmlError
    NVML_ERROR_NOT_SUPPORTED = NOT_SUPPORTED
    NVML_ERROR_NO_PERMISSION = NO_PERMISSION
    NVML_ERROR_INVALID_ARGUMENT = INVALID_ARGUMENT
    NVML_ERROR_NOT_FOUND = NOT_FOUND
    nvmlMemory_v2 = "version 2"

    def __init__(self, processes=(), utilization=70, milliwatts=250_000, samples=(), given_out=9 * GIB, start=None):
        self.processes, self.utilization, self.milliwatts = processes, utilization, milliwatts
        self.samples, self.given_out, self.start = samples, given_out, start
        self.open_count = 0
        self.opened_with = None

    @staticmethod
    def _answer(value):
        if isinstance(value, Exception):
            raise value
        return value

    def nvmlInit(self):
        self._answer(self.start)
        self.open_count += 1

    def nvmlShutdown(self):
        self.open_count -= 1

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid == "GPU-none":
            raise FakeNvmlError(NOT_FOUND)
        self.opened_with = uuid
        return uuid

    def nvmlDeviceGetHandleByIndex(self, index):
        self.opened_with = index
        return index

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle):
        return "A GPU"

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        if version is None:
            return SimpleNamespace(total=24 * GIB)
        assert version == self.nvmlMemory_v2
        return SimpleNamespace(used=self._answer(self.given_out))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self._answer(self.processes)]

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=self._answer(self.utilization))

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer(self.milliwatts)

    def nvmlDeviceGetProcessUtilization(self, handle, since):
        return [SimpleNamespace(pid=pid, smUtil=percent) for pid, percent in self._answer(self.samples)]


def read(nvml, *, host_pids=True):
    return NvmlReader("GPU-1", ME, sees_host_pids=host_pids, nvml=nvml).read()


def test_alone_on_the_device():
    sample = read(FakeNvml(processes=[(ME, 3 * GIB)]))
    assert sample == GpuSample(process_memory_gib=3.0, utilization_percent=70.0, power_watts=250.0, shared=False)


def test_a_process_listed_twice_holds_the_sum():
    assert read(FakeNvml(processes=[(ME, GIB), (ME, 2 * GIB)])).process_memory_gib == 3.0


def test_a_shared_device_gives_only_our_own_memory_and_utilization():
    nvml = FakeNvml(processes=[(7, 8 * GIB), (ME, 2 * GIB)], samples=[(7, 60), (ME, 30), (ME, 20)])
    sample = read(nvml)
    assert (sample.process_memory_gib, sample.utilization_percent, sample.shared) == (2.0, 25.0, True)


@pytest.mark.parametrize("samples", [[(7, 60)], FakeNvmlError(NOT_FOUND)], ids=["others only", "no samples"])
def test_a_process_without_samples_was_idle(samples):
    nvml = FakeNvml(processes=[(7, GIB), (ME, GIB)], samples=samples)
    assert read(nvml).utilization_percent == 0.0


def test_own_utilization_is_null_where_the_device_does_not_keep_it():
    nvml = FakeNvml(processes=[(7, GIB), (ME, GIB)], samples=FakeNvmlError(NOT_SUPPORTED))
    assert read(nvml).utilization_percent is None


def test_on_the_host_a_process_that_is_not_listed_holds_nothing():
    sample = read(FakeNvml(processes=[(7, 8 * GIB)], samples=[(7, 99)]))
    assert (sample.process_memory_gib, sample.utilization_percent, sample.shared) == (0.0, 0.0, True)


def test_in_a_container_the_only_process_is_ours():
    sample = read(FakeNvml(processes=[(900_001, 5 * GIB)]), host_pids=False)
    assert (sample.process_memory_gib, sample.shared) == (5.0, False)


def test_in_a_container_two_processes_cannot_be_told_apart():
    nvml = FakeNvml(processes=[(900_001, 5 * GIB), (900_002, GIB)], samples=[(900_001, 50)])
    sample = read(nvml, host_pids=False)
    assert (sample.process_memory_gib, sample.utilization_percent, sample.shared) == (None, None, True)


def test_in_a_container_a_second_only_process_is_not_believed():
    nvml = FakeNvml(processes=[(900_001, 5 * GIB)])
    reader = NvmlReader("GPU-1", ME, sees_host_pids=False, nvml=nvml)
    assert reader.read().process_memory_gib == 5.0
    nvml.processes = [(900_002, 6 * GIB)]
    assert reader.read().process_memory_gib is None


@pytest.mark.parametrize("used", [0, None])
def test_a_listed_process_without_a_size_holds_what_the_card_gave_out_when_alone(used):
    assert read(FakeNvml(processes=[(ME, used)], given_out=4 * GIB), host_pids=False).process_memory_gib == 4.0
    shared = read(FakeNvml(processes=[(ME, used), (7, used)], given_out=4 * GIB), host_pids=False)
    assert (shared.process_memory_gib, shared.shared) == (None, True)


def test_before_anybody_uses_the_device():
    assert read(FakeNvml(), host_pids=False).process_memory_gib == 0.0
    assert read(FakeNvml()).shared is False


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, INVALID_ARGUMENT])
@pytest.mark.parametrize(
    ("quantity", "field"),
    [
        ("processes", "process_memory_gib"),
        ("utilization", "utilization_percent"),
        ("milliwatts", "power_watts"),
    ],
)
def test_a_quantity_that_is_not_told_is_null_and_the_others_stay(code, quantity, field):
    nvml = FakeNvml(processes=[(ME, GIB)])
    setattr(nvml, quantity, FakeNvmlError(code))
    sample = read(nvml)
    reported = {"process_memory_gib": 1.0, "utilization_percent": 70.0, "power_watts": 250.0, "shared": False}
    reported[field] = None
    if quantity == "processes":
        reported["shared"] = None
    assert sample == GpuSample(**reported)


def test_a_lost_device_is_an_error_that_names_it():
    nvml = FakeNvml(processes=[(ME, GIB)], milliwatts=FakeNvmlError(GPU_IS_LOST))
    with pytest.raises(GpuReadError, match="GPU-1 does not answer NVML: NVML error 15"):
        read(nvml)


def test_opening_by_index_or_uuid_and_closing_once():
    nvml = FakeNvml()
    by_index = NvmlReader("1", ME, nvml=nvml)
    assert nvml.opened_with == 1
    by_uuid = NvmlReader("MIG-5", ME, nvml=nvml)
    assert nvml.opened_with == "MIG-5"
    assert nvml.open_count == 2
    for _ in range(2):
        by_index.close()
        by_uuid.close()
    assert nvml.open_count == 0


def test_opening_fails_without_a_driver_or_device_and_leaves_nothing_open():
    without_driver = FakeNvml(start=FakeNvmlError(12))
    with pytest.raises(GpuReadError, match="cannot be opened"):
        NvmlReader("0", ME, nvml=without_driver)
    nvml = FakeNvml()
    with pytest.raises(GpuReadError, match="GPU-none"):
        NvmlReader("GPU-none", ME, nvml=nvml)
    assert without_driver.open_count == nvml.open_count == 0


def test_list_gpus_names_the_cards_and_is_empty_without_a_driver():
    nvml = FakeNvml()
    assert [(gpu.uuid, gpu.name, gpu.memory_gib) for gpu in list_gpus(nvml)] == [
        ("GPU-0", "A GPU", 24.0),
        ("GPU-1", "A GPU", 24.0),
    ]
    assert nvml.open_count == 0
    assert list_gpus(FakeNvml(start=FakeNvmlError(12))) == []


def test_the_fake_reader_plays_its_readings_and_repeats_the_last():
    first = GpuSample(process_memory_gib=1.0, utilization_percent=2.0, power_watts=3.0, shared=False)
    reader = FakeGpuReader([first, GpuReadError("gone")])
    assert reader.read() == first
    for _ in range(2):
        with pytest.raises(GpuReadError, match="gone"):
            reader.read()
    assert reader.reads == 3
