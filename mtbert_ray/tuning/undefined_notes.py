"""Says before a sweep starts which scores no trial can have, from the labels of the dev rows alone."""

from collections.abc import Iterator

from mtbert_ray.training.evaluate import labels_of
from mtbert_ray.training.inputs import load_inputs
from mtbert_ray.training.scoring import undefined_before_training
from mtbert_ray.tuning.space import SearchSpace
from mtbert_ray.undefined import in_words


def undefined_notes(space: SearchSpace) -> Iterator[str]:
    """Yield a sentence for each score that no trial can have.

    Args:
        space: whose data can be read, and has been, so that its tokens are cached.
    """
    configs = space.one_config_each()
    experiments: dict[str, list[str]] = {}
    known: dict[str, tuple[str, ...]] = {}
    for name, config in configs.items():
        key = config.model_dump_json(include={"data", "tasks"})
        if key not in known:
            labels = labels_of(load_inputs(config, "dev"))
            known[key] = tuple(in_words(undefined_before_training(config.tasks, labels)))
        for words in known[key]:
            experiments.setdefault(words, []).append(str(name))
    for words, names in experiments.items():
        only = "" if len(names) == len(configs) else f" of {', '.join(names)}"
        yield f"Whatever is learnt, trials{only} will have {words}."
