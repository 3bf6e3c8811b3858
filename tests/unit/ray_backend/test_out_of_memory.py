"""What is out of memory, whoever raises it and however Ray wraps it, and what is not."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mtbert_ray.ray_backend.failure import KilledForMemoryError, is_own_memory, memory_message
from mtbert_ray.ray_backend.memory import MemoryUse, memory_use
from mtbert_ray.training.loss import DivergedError
from mtbert_ray.training.process import Process

ON_GPU = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 3 has a total capacity of 14.58 GiB of which 17.31 MiB is "
    "free. Including non-PyTorch memory, this process has 14.55 GiB memory in use. Of the allocated memory 13.90 GiB "
    "is allocated by PyTorch, and 510.00 MiB is reserved by PyTorch but unallocated."
)
ON_GPU_MESSAGE = "asked for 20.00 MiB on GPU 3, which has 14.58 GiB, 17.31 MiB of it free"
BY_RAY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.1, ID: 4df8) was "
    "22.41GB used / 23.54GB limit (0.952)\nOOM kill reason: Memory usage exceeded threshold\nTop 10 memory users: ..."
)
BY_RAY_MESSAGE = "the node's memory was running out, and Ray ended the process when 22.41GB of its 23.54GB were taken"


def raised(function, *args) -> BaseException:
    try:
        function(*args)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def task_error(cause: BaseException) -> RayTaskError:
    return RayTaskError("step", f"Traceback:\n  a long one\n{cause!r}", cause, proctitle="p", pid=1, ip="127.0.0.1")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ON_GPU, ON_GPU_MESSAGE),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate more than 1EB memory.\nmore"), None),
        (raised(torch.empty, 10**15), "asked for 3725290.3 GiB of the machine's memory, which had less"),
        (raised(np.empty, 10**13), None),
        (MemoryError(), "Python asked for more than the machine had"),
        (pa.ArrowMemoryError("malloc of size 64 failed"), "malloc of size 64 failed"),
        (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might ..."), None),
        (RuntimeError("NCCL error in: x.cpp:1, unhandled cuda error\nCuda failure 2 'out of memory'"), None),
        (OutOfMemoryError(BY_RAY), BY_RAY_MESSAGE),
        (KilledForMemoryError(BY_RAY), BY_RAY_MESSAGE),
        (OutOfMemoryError("no numbers"), "the node's memory was running out, and Ray ended the process"),
    ],
)
def test_each_is_one_line(error, message):
    found = memory_message(error)
    assert found is not None and len(found.splitlines()) == 1
    assert message is None or found == message


@pytest.mark.parametrize(
    "error",
    [
        task_error(ON_GPU),
        task_error(ON_GPU).as_instanceof_cause(),
        task_error(task_error(ON_GPU)),
        ControllerError(task_error(ON_GPU)),
        WorkerGroupError("one rank of two", {1: ON_GPU, 0: RuntimeError("Connection closed by peer")}),
        WorkerGroupError("both", {1: RuntimeError("NCCL communicator was aborted"), 0: task_error(ON_GPU)}),
        task_error(ControllerError(WorkerGroupError("a rank", {3: ON_GPU}))),
        WorkerGroupError("a peer", {1: ON_GPU, 0: RuntimeError("gloo: reset by peer")}),
        pickle.loads(pickle.dumps(WorkerGroupError("pickled", {0: ON_GPU}))),
    ],
)
def test_it_is_found_inside_the_errors_of_ray(error):
    assert memory_message(error) == ON_GPU_MESSAGE


def test_a_rank_that_ray_killed_is_found_too():
    failed = WorkerHealthCheckFailedError("A worker health check failed.", OutOfMemoryError(BY_RAY))
    error = WorkerGroupError("killed", {0: RuntimeError("Connection closed by peer"), 1: failed})
    assert memory_message(error) == BY_RAY_MESSAGE


def test_what_it_was_raised_from_counts():
    try:
        try:
            raise ON_GPU
        except RuntimeError as cause:
            raise ValueError("the encoder could not be built") from cause
    except ValueError as error:
        assert memory_message(error) == ON_GPU_MESSAGE


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("out of memory of what came before"),
        ValueError("CUDA error: out of memory"),
        ValueError("Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 1 GiB of which 1 GiB is free"),
        DivergedError("the training loss of sst is not finite in epoch 1"),
        ActorDiedError(),
        WorkerGroupError("no rank said why: CUDA out of memory", {}),
        WorkerGroupError("two", {0: ValueError("no"), 1: RuntimeError("Connection closed by peer")}),
        ControllerError(TimeoutError("the workers did not start")),
        task_error(KeyError("memory")),
        KeyboardInterrupt(),
    ],
)
def test_nothing_else_is_one(error):
    assert memory_message(error) is None


BY_MONITOR = (
    "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.1, ID: 4df8) was "
    "22.41GB used / 23.54GB limit (0.952)\n(actor=InlineTrial, pid=7, actual memory used={own}GB, worker ID=ab12)"
)


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (ON_GPU, True),  # Nobody noted how the memory was used: the allocation is the trial's.
        (MemoryError(), True),
        (KilledForMemoryError(BY_RAY), False),  # Ray may have killed anybody.
        (KilledForMemoryError(BY_MONITOR.format(own="21.90")), True),
        (KilledForMemoryError(BY_MONITOR.format(own="0.70")), False),
        (task_error(ON_GPU), True),
        (ValueError("no"), False),
        (None, False),
    ],
)
def test_whose_memory_it_was(error, own):
    assert is_own_memory(error) is own


def noted(error: BaseException, **use: float) -> BaseException:
    error.memory_use = MemoryUse(**{"total": 16.0, **use})
    return error


@pytest.mark.parametrize("wrap", [lambda error: error, task_error, lambda error: WorkerGroupError("r", {0: error})])
@pytest.mark.parametrize(
    ("use", "own"),
    [
        ({"own": 15.0, "others": 0.5}, True),
        ({"own": 5.0, "others": 10.5}, False),
        ({"own": 5.0, "others": 10.5, "share": 0.25}, True),  # It had more than its quarter of the GPU.
        ({"own": 3.0, "others": 12.0, "share": 0.5}, False),
    ],
)
def test_what_a_worker_noted_comes_through_ray(wrap, use, own):
    error = noted(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), **use)
    wrapped = wrap(pickle.loads(pickle.dumps(error)))
    assert is_own_memory(wrapped) is own
    assert f"it held {use['own']:.1f} GiB, others {use['others']:.1f} of 16.0 GiB" in memory_message(wrapped)


def test_the_memory_of_this_machine_is_read():
    use = memory_use(Process())
    assert 0 < use.own < use.total and 0 <= use.others < use.total
