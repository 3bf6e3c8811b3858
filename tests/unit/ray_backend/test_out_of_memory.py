"""What is out of memory, whoever raises it and however Ray wraps it, and what is not."""

import json
import pickle
import platform
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
import torch
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from mtbert_ray.ray_backend import memory
from mtbert_ray.ray_backend.failure import KilledForMemoryError, is_own_memory, memory_message
from mtbert_ray.ray_backend.memory import MemoryUse, memory_of_node, noting_memory_use
from mtbert_ray.resources.node_memory import NodeMemory
from mtbert_ray.training.heartbeat import Heartbeat, Sign, sign_file
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


def test_the_memory_of_this_machine_is_read(tmp_path):
    use = memory_of_node(tmp_path)
    assert 0 < use.own < use.total and 0 <= use.others < use.total


def test_what_the_other_ranks_of_a_trial_hold_is_its_own(tmp_path):
    alone = memory_of_node(tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", "held = bytearray(b'x') * 2**28; print('', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        other.stdout.readline()
        heartbeat = Heartbeat(tmp_path, 1)
        heartbeat.close()
        sign = Sign(
            count=1,
            step=1,
            seconds_since_step=0,
            longest_pause=0,
            is_waiting=False,
            where="",
            node=platform.node(),
            node_id="",
            pid=other.pid,
            created=0,
        )
        sign_file(tmp_path, 1).write_text(json.dumps(asdict(sign)))
        assert memory_of_node(tmp_path).own > alone.own + 0.2
    finally:
        other.kill()
        other.wait()


class TestWhoseMemoryIsRead:
    """A trial on a GPU that has room, on a node whose memory another process has taken."""

    @pytest.fixture(autouse=True)
    def taken(self, monkeypatch):
        monkeypatch.setattr(memory, "node_memory", lambda: NodeMemory(total=16 * 2**30, available=2**28))
        monkeypatch.setattr(memory, "memory_of_gpu", lambda process: MemoryUse(own=9.0, others=0.5, total=10.0))

    @staticmethod
    def noted(error: BaseException, tmp_path) -> BaseException:
        with pytest.raises(type(error)) as raised_error, noting_memory_use(Process(), tmp_path):
            raise error
        return raised_error.value

    @pytest.mark.parametrize(
        "error",
        [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")],
    )
    def test_of_the_node_for_the_node_s(self, tmp_path, error):
        assert not is_own_memory(self.noted(error, tmp_path))

    @pytest.mark.parametrize("error", [ON_GPU, RuntimeError("CUDA error: out of memory")])
    def test_of_the_gpu_for_the_gpu_s(self, tmp_path, error):
        assert is_own_memory(self.noted(error, tmp_path))

    def test_a_gpu_that_does_not_answer_is_held_by_others(self, tmp_path, monkeypatch):
        def refuse(process: Process) -> MemoryUse:
            raise RuntimeError("CUDA error: out of memory, of mem_get_info")

        monkeypatch.setattr(memory, "memory_of_gpu", refuse)
        error = torch.AcceleratorError("CUDA error: out of memory")
        assert self.noted(error, tmp_path) is error and not is_own_memory(error)


@pytest.mark.parametrize(("own", "is_own"), [(12.6, True), (3.0, False)])
def test_one_that_ran_alone_has_only_itself_to_blame_unless_others_held_more(own, is_own):
    error = noted(MemoryError(), own=own, others=2.5 if is_own else 12.0)
    assert not is_own_memory(error)
    assert is_own_memory(error, alone=True) is is_own
