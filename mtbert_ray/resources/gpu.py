"""Readings of one GPU for one process through NVML (package nvidia-ml-py); what NVML does not report is null."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

import pynvml

_Answer = TypeVar("_Answer")

_GIB = 2**30
_LINUX_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel: the same on every machine
_RECENT_MICROSECONDS = 1_000_000  # the longest span NVML averages a process's utilization over


class GpuReadError(Exception):
    """The GPU cannot be read: no driver, no such device, or a device that was lost."""


@dataclass(frozen=True, kw_only=True)
class GpuSample:
    """One reading. A quantity that the device or its driver does not report is null."""

    process_memory_gib: float | None
    """What this process holds on the device; 0.0 before its first use of it."""
    utilization_percent: float | None
    """Share of the last moments in which a kernel ran: the device's, or this process's own on a shared device."""
    power_watts: float | None
    """Of the whole GPU, with all processes on it."""
    shared: bool | None
    """Whether another process computes on the device."""


class GpuReader(Protocol):
    """Reads one GPU for one process."""

    def read(self) -> GpuSample:
        """Return a reading of this moment.

        Raises:
            GpuReadError: the device does not answer.
        """
        ...

    def close(self) -> None:
        """Release the device; closing twice is harmless."""
        ...


class NvmlReader:
    """Reads a GPU, or a MIG slice of one, through NVML.

    Args:
        device: UUID (`GPU-...`, `MIG-...`) or index. NVML ignores CUDA_VISIBLE_DEVICES, so an index counts all GPUs of
            the machine; the UUID of `torch.cuda.get_device_properties(i)` always names the right one.
        pid: the process to meter; none for this one.
        sees_host_pids: whether process numbers here are those of the host; none looks it up.
        nvml: a fake of pynvml in tests.

    Raises:
        GpuReadError: no driver or no such device.
    """

    def __init__(
        self, device: str, pid: int | None = None, *, sees_host_pids: bool | None = None, nvml: ModuleType = pynvml
    ) -> None:
        self._nvml = nvml
        self._device = device
        self._pid = os.getpid() if pid is None else pid
        self._sees_host_pids = in_first_pid_namespace() if sees_host_pids is None else sees_host_pids
        self._alone_as: int | None = None
        self._open = False
        # On a MIG slice some drivers answer "invalid argument" where others answer "not supported".
        self._no_answer = {
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_NO_PERMISSION,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
        }
        try:
            nvml.nvmlInit()
            self._open = True
            by_index = device.isdecimal()
            self._handle = (
                nvml.nvmlDeviceGetHandleByIndex(int(device)) if by_index else nvml.nvmlDeviceGetHandleByUUID(device)
            )
        except nvml.NVMLError as error:
            self.close()
            raise GpuReadError(f"GPU {device} cannot be opened through NVML: {error}") from error

    def read(self) -> GpuSample:
        """Return a reading of this moment.

        Raises:
            GpuReadError: the device does not answer.
        """
        try:
            processes = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses)
            memory_gib, shared = (None, None) if processes is None else self._own_memory(processes)
            milliwatts = self._ask(self._nvml.nvmlDeviceGetPowerUsage)
            return GpuSample(
                process_memory_gib=memory_gib,
                utilization_percent=self._utilization(shared),
                power_watts=None if milliwatts is None else milliwatts / 1000,
                shared=shared,
            )
        except self._nvml.NVMLError as error:
            raise GpuReadError(f"GPU {self._device} does not answer NVML: {error}") from error

    def close(self) -> None:
        """Release NVML; closing twice is harmless."""
        if self._open:
            self._open = False
            self._nvml.nvmlShutdown()

    def _ask(self, query: Callable[..., _Answer], *arguments: object) -> _Answer | None:
        """Return NVML's answer, or none where this device does not support the query."""
        try:
            return query(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            if error.value in self._no_answer:
                return None
            raise

    def _own_memory(self, processes: Sequence[Any]) -> tuple[float | None, bool]:
        """Return this process's memory in GiB and whether others compute on the device.

        A container has process numbers of its own, and most drivers list the host's: then this process is not in the
        list under its own number, and is known only when it is the only one.
        """
        mine = [process for process in processes if process.pid == self._pid]
        shared = len(processes) > len(mine)
        if not mine and (self._sees_host_pids or not processes):
            return 0.0, shared
        if not mine:
            if len(processes) > 1:
                return None, True
            if self._alone_as not in (None, processes[0].pid):
                return None, False  # another process was alone here before: one of the two is not ours
            self._alone_as = processes[0].pid
            mine, shared = list(processes), False
        used = [process.usedGpuMemory for process in mine]
        if all(used):
            return sum(used) / _GIB, shared
        # Drivers that translate process numbers for containers list the process with no memory. When it is alone, it
        # holds all the memory in use, which nvmlMemory_v2 gives without the driver's reserve.
        return (None if shared else self._memory_in_use_gib()), shared

    def _memory_in_use_gib(self) -> float | None:
        memory = self._ask(self._nvml.nvmlDeviceGetMemoryInfo, self._nvml.nvmlMemory_v2)
        return None if memory is None else memory.used / _GIB

    def _utilization(self, shared: bool | None) -> float | None:
        if shared:
            return self._own_utilization()
        rates = self._ask(self._nvml.nvmlDeviceGetUtilizationRates)
        return None if rates is None else float(rates.gpu)

    def _own_utilization(self) -> float | None:
        if not self._sees_host_pids:
            return None  # the samples name the host's process numbers
        since = int(time.time() * 1e6) - _RECENT_MICROSECONDS
        try:
            samples = self._ask(self._nvml.nvmlDeviceGetProcessUtilization, since)
        except self._nvml.NVMLError as error:
            if error.value != self._nvml.NVML_ERROR_NOT_FOUND:
                raise
            samples = []
        if samples is None:
            return None
        own = [sample.smUtil for sample in samples if sample.pid == self._pid]
        # NVML lists only processes whose utilization was not zero.
        return sum(own) / len(own) if own else 0.0


@dataclass(frozen=True, kw_only=True)
class GpuInfo:
    """A GPU of this machine."""

    uuid: str
    name: str
    memory_gib: float


def list_gpus(nvml: ModuleType = pynvml) -> list[GpuInfo]:
    """Return all of this machine's GPUs, regardless of CUDA_VISIBLE_DEVICES; none without a driver that answers."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [
            GpuInfo(
                uuid=nvml.nvmlDeviceGetUUID(handle),
                name=nvml.nvmlDeviceGetName(handle),
                memory_gib=nvml.nvmlDeviceGetMemoryInfo(handle).total / _GIB,
            )
            for handle in handles
        ]
    except nvml.NVMLError:
        return []
    finally:
        nvml.nvmlShutdown()


def in_first_pid_namespace() -> bool:
    """Whether process numbers here are the host's, which NVML uses."""
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _LINUX_FIRST_PID_NAMESPACE
    except OSError:
        return os.name == "nt"  # no namespaces there; on any other system without /proc it is not known
