"""Private APIs of other libraries: one function for each, with the release in which it was seen.

Imports happen inside the functions, so this module loads without torch and Ray. tests/unit/test_compat.py fails when a
library changes one of these APIs.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig


def cpu_has_avx512() -> bool:
    """Return whether the processor has AVX-512, for which `torch.cpu` has no public function (torch 2.13)."""
    import torch

    return torch.cpu._is_avx512_supported()


def has_onednn_linear() -> bool:
    """Return whether `onednn_linear` works here: PyTorch can be built without oneDNN."""
    import torch

    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(x_NI: "Tensor", weight_OI: "Tensor", bias_O: "Tensor | None") -> "Tensor":
    """Return x W^T + b, (N, O): PyTorch's only way to oneDNN for dense float32 tensors (torch 2.13)."""
    import torch

    result: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI, weight_OI, bias_O, "none", [], "")
    return result


def attention_implementation(config: "PretrainedConfig") -> str | None:
    """Return the name of a model's attention, as `sdpa`; the key has no public name (transformers 5.23)."""
    name: str | None = config._attn_implementation
    return name


def set_attention_implementation(config: "PretrainedConfig", name: str | None) -> None:
    """Choose a model's attention, cheap enough for each pass.

    The public `set_attn_implementation` goes through all submodules (transformers 5.23).
    """
    config._attn_implementation = name


def masked_language_model_types() -> "frozenset[str]":
    """Return the model types trained with masked tokens: transformers lists them in no public place (5.23)."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return frozenset(MODEL_FOR_MASKED_LM_MAPPING_NAMES)


def is_known_to_be_absent(repository: str, file_name: str) -> bool:
    """Return whether the Hub's cache has a note that a repository lacks a file.

    `try_to_load_from_cache` then returns an object with a private name (huggingface_hub 2.4).
    """
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    found: Any = try_to_load_from_cache(repository, file_name)
    return found is _CACHED_NO_EXIST


def forget_peft_config(model: "nn.Module") -> None:
    """Remove the configuration that peft leaves at a model, which transformers takes for an adapter (peft 0.21)."""
    if hasattr(model, "peft_config"):
        del model.peft_config


@contextmanager
def replaced_actor_errors(replace: Callable[[Exception], Exception]) -> Iterator[None]:
    """Let Tune see other errors of its actors in this context.

    It handles RayActorError and RayTaskError, and raises any other out of `Tuner.fit()`, which ends the sweep: also the
    OutOfMemoryError of an actor that Ray's memory monitor killed (ray 2.60).
    """
    from ray.air.execution._internal.actor_manager import RayActorManager

    of_tune = RayActorManager._actor_task_failed

    def failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:  # noqa: ANN401
        of_tune(manager, tracked_actor_task, replace(exception))

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = of_tune


@contextmanager
def ray_on_loopback() -> Iterator[None]:
    """Let `ray.init` start a Ray that has the address 127.0.0.1 in this context.

    On Linux it takes the machine's outside address even where 127.0.0.1 is asked for, and then listens on all
    addresses; on macOS and Windows this constant makes it stay on the machine (ray 2.60).
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def health_check_failure(error: BaseException) -> BaseException | None:
    """Return why Ray Train's health check of a worker failed; the error's class is private (ray 2.60)."""
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return error.health_check_failure if isinstance(error, WorkerHealthCheckFailedError) else None


def propagate_to_ray_train(variable: str) -> None:
    """Let Ray Train give an environment variable of this process to its controller and workers (ray 2.60)."""
    from ray.train.v2._internal import constants

    constants.ENV_VARS_TO_PROPAGATE.add(variable)


def has_lost_workers(error: BaseException | None) -> bool:
    """Return whether Ray Train could not start a trial's workers, or one does not answer (ray 2.60, private errors)."""
    from ray.train.v2._internal import exceptions

    return isinstance(
        error,
        exceptions.WorkerGroupStartupTimeoutError
        | exceptions.WorkerGroupStartupFailedError
        | exceptions.WorkerHealthCheckTimeoutError
        | exceptions.InsufficientClusterResourcesError,
    )


def hosted_cluster_config() -> Any:  # noqa: ANN401  # a protobuf message
    """Return the `ClusterConfig` that a hosted platform gave to the connected Ray, or None (ray 2.60)."""
    from ray._private.state import state

    return state.get_cluster_config()


def cpus_of_container() -> int:
    """Return the CPUs that Ray would count here, by the container's quota (ray 2.60)."""
    from ray._private.utils import get_num_cpus

    return int(get_num_cpus(override_docker_cpu_warning=True))
