"""The search space: read from YAML, checked, sampled, and listed as a grid."""

from mtbert_ray.study.space.load import load_search_space
from mtbert_ray.study.space.model import SearchSpace

__all__ = ["SearchSpace", "load_search_space"]
