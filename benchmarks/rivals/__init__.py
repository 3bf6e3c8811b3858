"""The trainers that benchmarks/throughput.py compares: ours, and what a user would pick.

All train the same model from the same weights, at the same rate, schedule and dropout, over the same rows.
"""

from collections.abc import Callable
from functools import partial

import torch

from mtbert_ray.config import TrialConfig
from mtbert_ray.training.evaluate import EpochResult
from mtbert_ray.training.loop import TrainingRun
from mtbert_ray.training.process import Process
from rivals.hugging_face import trainer, trainer_grouped
from rivals.loops import course_code, sentence_transformers_style
from rivals.stopwatch import Stopwatch


def ours(config: TrialConfig, process: Process, watch: Stopwatch, *, compiled: bool = False) -> float:
    """Train as a trial does; return the last epoch's dev score.

    Args:
        config: of the run.
        process: this process alone.
        watch: times the steps; with `compiled` it needs some to warm up.
        compiled: whether the encoder goes through torch.compile, which trials do not offer.
    """
    run = TrainingRun(config, process=process, on_step=lambda *_: watch.step())
    if compiled:
        torch.compiler.reset()
        run.model.encoder.model.compile(dynamic=True)
    *_, last = run.epochs(while_training=watch.running)
    assert isinstance(last, EpochResult), "a run ends with an epoch"
    return last.scores["dev_score"]


OURS = "mtbert_ray"
OURS_COMPILED = "mtbert_ray, compiled"
TRAINERS: dict[str, Callable[[TrialConfig, Process, Stopwatch], float]] = {
    OURS: ours,
    OURS_COMPILED: partial(ours, compiled=True),
    "HF Trainer": trainer,
    "HF Trainer, by length": trainer_grouped,
    "sentence-transformers style": sentence_transformers_style,
    "course code, padded to 128": course_code,
}
"""Each trains one config, times its steps, and returns the dev score."""
