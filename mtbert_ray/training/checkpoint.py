"""Checkpoints: written, loaded, and the initial weights of a run that starts from one (`init_from`).

A checkpoint is a folder: what training changed (safetensors), the configuration, and the scores it had. It may come
from anywhere: digests tell whether it is what was written, and the tensors must fit the model and be finite.

With a frozen encoder it holds the heads and adapters only, and the fingerprint of the encoder they belong to; where the
frozen weights are not the encoder's own, as after `init_from`, it holds these as well.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file
from torch import Tensor

from mtbert_ray.config import TrialConfig
from mtbert_ray.config.checkpoint import CHECKPOINT_CONFIG_NAME, read_checkpoint_config
from mtbert_ray.errors import CheckpointError, EncoderError
from mtbert_ray.files import put_file
from mtbert_ray.metrics import METRICS, Metrics, MetricValue
from mtbert_ray.models.adapters import merge_adapter
from mtbert_ray.models.build import InitialWeights, build_model, changed_parameters
from mtbert_ray.models.multitask import MultitaskModel
from mtbert_ray.models.state import base_fingerprint, digest_of, load_trainable_state, trainable_state
from mtbert_ray.training.checkpoint_digest import (
    parsed_metrics,
    read_metadata,
    read_weights,
    refuse_other_rank,
    sealed,
    text_digest,
)

WEIGHTS_NAME = "model.safetensors"
METRICS_NAME = "metrics.json"


class KeptWeights(NamedTuple):
    """The weights of a model that a checkpoint holds."""

    tensors: dict[str, Tensor]
    """On the CPU, by name."""
    base_fingerprint: str
    """Of the weights that are left to the encoder's own files."""


def kept_weights(
    model: MultitaskModel, config: TrialConfig, *, copy: bool = False, fingerprint: str | None = None
) -> KeptWeights:
    """Return the weights that a checkpoint of the model holds.

    The model is the bare one, not its DDP wrapper. With `copy` the tensors stay as they are while training continues.
    The fingerprint of an earlier call for the same model saves a pass over all frozen weights.
    """
    changed = changed_parameters(model, config)
    state = trainable_state(model, changed=changed)
    return KeptWeights(
        {name: tensor.to("cpu", copy=copy).contiguous() for name, tensor in state.items()},
        base_fingerprint(model, changed=changed) if fingerprint is None else fingerprint,
    )


def write_checkpoint(folder: Path, weights: KeptWeights, config: TrialConfig, metrics: Metrics) -> None:
    """Write a checkpoint in place of an older one of the same run.

    The weights are one file, put in place in one step after they are on disk: a process that is killed at any moment
    leaves the old checkpoint or the new one. The scores are written twice: with the weights, where they cannot differ
    from them, and as JSON for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    as_json = config.model_dump_json(indent=2) + "\n"
    put_file(folder / CHECKPOINT_CONFIG_NAME, lambda new: new.write_text(as_json, encoding="utf-8"))
    metadata = sealed(
        {
            "base_fingerprint": weights.base_fingerprint,
            "metrics": _as_json(metrics),
            "config_digest": text_digest(as_json),
            "tensors_digest": digest_of(weights.tensors),
        }
    )
    put_file(folder / WEIGHTS_NAME, lambda new: save_file(weights.tensors, new, metadata=metadata))
    write_metrics(folder, metrics)


def write_metrics(folder: Path, metrics: Metrics) -> None:
    """Write the metrics of the epoch that a checkpoint holds, costs included, in place of its metrics.json.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    if not (folder / WEIGHTS_NAME).is_file():
        raise CheckpointError(f"{folder}: holds no checkpoint that metrics could belong to (no {WEIGHTS_NAME})")
    put_file(folder / METRICS_NAME, lambda new: new.write_text(_as_json(metrics), encoding="utf-8"))


def read_metrics(folder: Path) -> dict[str, MetricValue]:
    """Return the metrics of a checkpoint: metrics.json, or only the scores where that is of another epoch.

    A process that was killed between the two leaves the weights of one epoch with the metrics of an earlier one.

    Raises:
        CheckpointError: the weights are missing or damaged.
    """
    weights = folder / WEIGHTS_NAME
    try:
        with_weights = parsed_metrics(read_metadata(weights).get("metrics", "{}"))
    except ValueError as error:
        raise CheckpointError(f"{weights}: its metrics are damaged: {error}") from error
    try:
        stored = parsed_metrics((folder / METRICS_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return with_weights
    # What is in both is the same in both, but for costs that grow until the run ends.
    growing = {name for name, metric in METRICS.items() if metric.over_time in ("peak", "total")}
    same = {name: value for name, value in with_weights.items() if name not in growing and name in stored}
    is_of_epoch = not with_weights or stored.get("epoch") == with_weights.get("epoch")
    is_whole = is_of_epoch and all(stored[name] == value for name, value in same.items())
    return {**with_weights, **stored} if is_whole else with_weights


def _as_json(metrics: Metrics) -> str:
    return json.dumps(dict(metrics), indent=2) + "\n"


def load_checkpoint(folder: Path) -> tuple[MultitaskModel, TrialConfig]:
    """Return the model of a checkpoint, on the CPU, and its configuration.

    Warns:
        UserWarning: it is from a version that wrote no digests, or its config.json was changed since.

    Raises:
        CheckpointError: something is missing, damaged, or belongs to another encoder.
        EncoderError: the encoder that it was made from cannot be found.
    """
    config = read_checkpoint_config(folder)
    weights = folder / WEIGHTS_NAME
    metadata, state = read_weights(weights)
    if "config_digest" not in metadata:
        text = "has no digest, as earlier versions wrote none: whether it is damaged is not known"
        warnings.warn(f"{folder}: {text}", stacklevel=2)
    elif metadata["config_digest"] != text_digest((folder / CHECKPOINT_CONFIG_NAME).read_text(encoding="utf-8")):
        warnings.warn(f"{folder / CHECKPOINT_CONFIG_NAME}: was changed after the checkpoint was written", stacklevel=2)
    refuse_other_rank(folder, config, state)
    model = build_model(config)
    changed = changed_parameters(model, config)
    if metadata.get("base_fingerprint", "") != base_fingerprint(model, changed=changed):
        raise CheckpointError(
            f"{folder}: its heads and adapters belong to another version of the encoder '{config.encoder}' than the "
            "one found now; give the encoder it was trained with"
        )
    load_trainable_state(model, state, changed=changed)
    return model, config


def initial_model(config: TrialConfig) -> MultitaskModel:
    """Return the model of a run before its first step, on the CPU, in float32 and eval mode.

    With `init_from` it has the earlier run's encoder, its adapter merged, and its heads for the tasks that both have;
    other tasks get new heads. Everything else (dropout, adapter, what is frozen) follows the configuration.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        EncoderError: the encoder, or the one that the checkpoint was made from, cannot be found.
        ConfigError: the parts do not fit each other or the checkpoint; all of them at once.
    """
    return build_model(config, initial_weights=None if config.init_from is None else _init_from(config.init_from))


def _init_from(folder: str) -> InitialWeights:
    try:
        model, config = load_checkpoint(Path(folder))
    except (CheckpointError, EncoderError) as error:
        raise type(error)(f"init_from: {error}") from error
    merge_adapter(model.encoder)
    return InitialWeights(
        folder=folder,
        encoder=config.encoder,
        pooling=model.encoder.pooling,
        tasks=tuple(model.heads),
        tensors=model.state_dict(),
    )


class CheckpointWriter:
    """Writes the checkpoints of one run, one after another.

    The model is the bare one, not its DDP wrapper. With `behind` a thread writes while the run continues: the weights
    are copied first, one copy at a time, and an error is raised by a later call, at the latest by `close`.
    """

    def __init__(
        self,
        folder: Path,
        model: MultitaskModel,
        config: TrialConfig,
        *,
        behind: bool,
        write: Callable[[Path, KeptWeights, TrialConfig, Metrics], None] = write_checkpoint,
    ) -> None:
        self._folder = folder
        self._model = model
        self._config = config
        self._write = write
        self._fingerprint: str | None = None
        self._has_saved = False
        self._thread = ThreadPoolExecutor(1, "checkpoint") if behind else None
        self._pending: list[Future[None]] = []

    def save(self, metrics: Metrics) -> None:
        """Keep the model as it is now, in place of an earlier checkpoint of the run.

        Raises:
            OSError: the disk refused this or, behind, an earlier one.
        """
        self._has_saved = True
        self.wait()  # Never two copies of the weights at once.
        weights = kept_weights(self._model, self._config, copy=self._thread is not None, fingerprint=self._fingerprint)
        self._fingerprint = weights.base_fingerprint
        self._do(partial(self._write, self._folder, weights, self._config, metrics))

    def write_metrics(self, metrics: Metrics) -> None:
        """Update the metrics of the epoch that the checkpoint holds.

        Raises:
            OSError: as for `save`.
            CheckpointError: there is no checkpoint.
        """
        self._do(partial(write_metrics, self._folder, metrics))

    def wait(self) -> None:
        """Return when all is on disk; raises the first error."""
        pending, self._pending = self._pending, []
        for job in pending:
            job.result()

    def discard(self) -> None:
        """Remove the checkpoint that was saved, if any: the run diverged.

        Raises:
            OSError: it cannot be removed.
        """
        pending, self._pending = self._pending, []
        wait(pending)  # Their errors do not matter: what was not written need not be removed.
        if self._has_saved and self._folder.exists():
            shutil.rmtree(self._folder)

    def close(self) -> None:
        """Return when all is on disk, and write no more; raises the first error."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    def _do(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            job()
            return
        done = [earlier for earlier in self._pending if earlier.done()]
        self._pending = [earlier for earlier in self._pending if earlier not in done]
        for earlier in done:
            earlier.result()
        self._pending.append(self._thread.submit(job))
