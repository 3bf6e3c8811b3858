"""How much room a sweep will take, from the models that its configs make and its dev rows; for a dry run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean

from mtbert_ray.config import TrialConfig
from mtbert_ray.disk import free_bytes
from mtbert_ray.models.adapters import count_parameters
from mtbert_ray.models.build import build_model, changed_parameters
from mtbert_ray.models.state import trainable_state
from mtbert_ray.ray_backend.plan import Plan
from mtbert_ray.ray_backend.preflight import RowCounts
from mtbert_ray.reporting.wording import counted, joined
from mtbert_ray.scoring.dev_predictions import TaskPredictions
from mtbert_ray.study.request import SweepRequest

_COPIES_IN_TRAINING = 3
"""Of each trained weight in the state of a run: itself and AdamW's two moments."""
_BESIDE = 2
"""A new state or checkpoint stands beside the old one until it is whole."""
_KEEP_FEWER = {
    "all": ", or set keep_checkpoints to front",
    "front": ", or set keep_checkpoints to best",
    "best": "",
}


@dataclass(frozen=True, kw_only=True)
class TrialBytes:
    """What a trial writes."""

    checkpoint: float
    """All of the model that the encoder's own files do not hold."""
    state: float
    """What a rank needs to continue the run, while it runs: trained weights and the optimizer's moments, in float32."""


def disk_estimate(request: SweepRequest, plan: Plan, rows: Mapping[str | None, RowCounts]) -> str:
    """Return the room that a sweep will take, as a line, with what is free on the disk of its folder.

    `rows` are those of `check_inputs`, which also tells what is wrong with an encoder or an adapter.
    """
    configs = list(plan.space.example_configs())
    trials = trial_bytes(configs)
    predictions = mean(prediction_bytes(config, rows[config.experiment]["dev"]) for config in configs)
    each = mean(trial.checkpoint for trial in trials)
    left, keep = request.num_left, plan.space.keep_checkpoints
    num_repeats = sum(one.purpose == "repeat" for one in request.reruns)
    runs = None if left is None else max(left, num_repeats, min(1, len(request.reruns)))
    at_once = plan.concurrent_trials if runs is None else min(runs, plan.concurrent_trials)
    ranks = plan.space.resources.num_workers
    running = at_once * max(_BESIDE * ranks * trial.state + trial.checkpoint for trial in trials)
    free = free_bytes(request.folder)
    while_running = f"{in_words(running)} while {counted(at_once, 'trial')} run{'s' if at_once == 1 else ''}"
    if keep == "best":
        # That of the best so far, and those of the trials that run.
        needed = (1 + at_once) * max(trial.checkpoint for trial in trials)
        text = f"up to {in_words(needed)} for checkpoints"
    elif left is None:
        needed = 0.0
        text = f"about {in_words(each)} for the checkpoint of each trial"
    else:
        # Of repeats only `all` keeps them.
        counts = {"trial": left, "repeat": num_repeats if keep == "all" else 0}
        needed = sum(counts.values()) * each
        about = "about" if keep == "all" and plan.space.scheduler == "fifo" else "up to"
        text = f"{about} {in_words(needed)} for the checkpoints of " + joined(
            [counted(number, noun) for noun, number in counts.items() if number]
        )
        text = text if needed else "nothing for checkpoints"
    if keep == "all" and request.earlier is None and plan.space.repeats:
        text += f", {in_words(plan.space.repeats * each)} more for the repeats of each on the front"
    if left is None:
        text += f", up to {in_words(predictions)} for the dev predictions of each"
    else:
        of_all = (left + len(request.reruns)) * predictions
        needed += of_all
        text += f", up to {in_words(of_all)} for dev predictions"
    short = "" if needed + running <= free else f"; not enough: give --out another folder{_KEEP_FEWER[keep]}"
    return f"disk: {text}, {while_running}; {in_words(free)} are free on the disk of {request.folder}{short}"


def prediction_bytes(config: TrialConfig, num_rows: Mapping[str, int]) -> int:
    """Return what the dev predictions of a trial take at most; `num_rows` are the dev rows by task."""
    return sum(
        TaskPredictions.bytes_of(
            num_rows[task.name], num_classes=task.num_classes, has_probabilities=task.ranks_probabilities
        )
        for task in config.tasks
    )


def trial_bytes(configs: Iterable[TrialConfig]) -> list[TrialBytes]:
    """Return what a trial of each config writes.

    A model is built for each different shape. Of ranks only the smallest and the largest are, since the bytes of every
    adapter are linear in its rank.

    Raises:
        EncoderError, ConfigError: as for `build_model`.
    """
    configs = list(configs)
    ranks: dict[str, set[int]] = {}
    for config in configs:
        ranks.setdefault(_shape_of(config), set()).add(_rank_of(config))
    built: dict[tuple[str, int], TrialBytes] = {}
    for config in configs:
        shape, rank = _shape_of(config), _rank_of(config)
        if rank in (min(ranks[shape]), max(ranks[shape])) and (shape, rank) not in built:
            built[shape, rank] = _measured(config)
    return [
        _between(
            built[shape, min(ranks[shape])], built[shape, max(ranks[shape])], _share(_rank_of(config), ranks[shape])
        )
        for config in configs
        for shape in [_shape_of(config)]
    ]


def _measured(config: TrialConfig) -> TrialBytes:
    # The sizes do not depend on how an adapter begins, and taking it from the weights takes long.
    plain = config.adapter.model_copy(update={"initialization": "default"})
    model = build_model(config.model_copy(update={"adapter": plain}))
    stored = trainable_state(model, changed=changed_parameters(model, config))
    return TrialBytes(
        checkpoint=sum(tensor.numel() * tensor.element_size() for tensor in stored.values()),
        state=_COPIES_IN_TRAINING * 4 * count_parameters(model).trainable,
    )


def _rank_of(config: TrialConfig) -> int:
    return 0 if config.adapter.kind == "none" else config.adapter.rank


def _shape_of(config: TrialConfig) -> str:
    """Return the fields that the shape of a model depends on, but for the rank."""
    fields = config.model_dump_json(
        include={"encoder", "pooling", "finetune", "pair_encoding", "hidden_layers", "tasks"}
    )
    adapter = config.adapter.model_dump_json(include={"kind", "library", "target_modules", "initialization"})
    return f"{fields} {'' if config.adapter.kind == 'none' else adapter} {config.init_from is not None}"


def _share(rank: int, ranks: set[int]) -> float:
    low, high = min(ranks), max(ranks)
    return 0.0 if low == high else (rank - low) / (high - low)


def _between(low: TrialBytes, high: TrialBytes, share: float) -> TrialBytes:
    return TrialBytes(
        checkpoint=low.checkpoint + share * (high.checkpoint - low.checkpoint),
        state=low.state + share * (high.state - low.state),
    )


def in_words(num_bytes: float) -> str:
    """Return bytes in the unit that reads best: "1.2 GiB"."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}" if num_bytes < 1000 * size else f"{num_bytes / size:,.0f} {unit}"
    return f"{num_bytes / 2**10:.3g} KiB"
