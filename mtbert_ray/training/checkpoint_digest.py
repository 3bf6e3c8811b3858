"""Whether the weights of a checkpoint are what was written: digests in the metadata of the safetensors file."""

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from mtbert_ray.config import TrialConfig
from mtbert_ray.errors import CheckpointError
from mtbert_ray.metrics import MetricValue
from mtbert_ray.models.state import digest_of

_SEAL = "digest"
_DIGESTS = ("config_digest", "tensors_digest")


def text_digest(text: str) -> str:
    """Return a BLAKE2b digest of a text, in hexadecimal."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def sealed(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata with a digest of all of it."""
    return {**metadata, _SEAL: text_digest(json.dumps(dict(sorted(metadata.items()))))}


def read_metadata(weights: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file.

    Raises:
        CheckpointError: it cannot be read, or the metadata is not what was written.
    """
    try:
        with safe_open(weights, framework="pt") as file:
            metadata = dict(file.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(weights, error) from error
    has_digests = any(name in metadata for name in (_SEAL, *_DIGESTS))
    if has_digests and metadata != sealed({name: text for name, text in metadata.items() if name != _SEAL}):
        raise CheckpointError(f"{weights}: is damaged: what it says of itself is not what was written")
    return metadata


def read_weights(weights: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: it cannot be read, or is not what was written.
    """
    metadata = read_metadata(weights)
    try:
        state = load_file(weights)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(weights, error) from error
    if _SEAL in metadata and metadata.get("tensors_digest") != digest_of(state):
        raise CheckpointError(f"{weights}: is damaged: its tensors are not those that were written")
    return metadata, state


def _unreadable(weights: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{weights}: cannot be read: {error}")


def parsed_metrics(text: str) -> dict[str, MetricValue]:
    """Return metrics of their JSON; raises a ValueError where it is none."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("lists and mappings stand inside each other too deep") from None
    if not isinstance(content, dict) or not all(map(_is_value, content.values())):
        raise ValueError("they are no mapping of names to finite numbers")
    return content


def _is_value(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (is_number and math.isfinite(float(str(value))))  # float(10**400) raises.


def refuse_other_rank(folder: Path, config: TrialConfig, state: Mapping[str, Tensor]) -> None:
    """Refuse a config that asks for adapters of another rank before they are made: no memory may hold them.

    Raises:
        CheckpointError: the rank is the size of no tensor.
    """
    rank = config.adapter.rank
    if config.adapter.kind != "none" and not any(rank in tensor.shape for tensor in state.values()):
        raise CheckpointError(f"{folder}: its config.json has adapter.rank {rank}, and no tensor is of that size")
