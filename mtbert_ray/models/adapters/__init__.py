"""Parameter-efficient adapters inside an encoder: put in, counted, merged, given to peft. Know no heads, no tasks."""

from mtbert_ray.models.adapters.add import ADAPTERS, add_adapter
from mtbert_ray.models.adapters.by_peft import frozen_weights_changed
from mtbert_ray.models.adapters.count import ParameterCounts, count_parameters
from mtbert_ray.models.adapters.merge import merge_adapter
from mtbert_ray.models.adapters.to_peft import to_peft

__all__ = [
    "ADAPTERS",
    "ParameterCounts",
    "add_adapter",
    "count_parameters",
    "frozen_weights_changed",
    "merge_adapter",
    "to_peft",
]
