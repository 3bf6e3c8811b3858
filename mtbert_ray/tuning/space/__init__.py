"""The search space: read from YAML with every mistake placed, checked, and walked by whoever chooses settings."""

from mtbert_ray.tuning.space.load import load_search_space
from mtbert_ray.tuning.space.model import SearchSpace

__all__ = ["SearchSpace", "load_search_space"]
