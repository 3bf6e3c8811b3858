"""The search space: read from YAML with every mistake placed, checked, and walked by whoever chooses settings."""

from mtbert_ray.study.space.load import load_search_space
from mtbert_ray.study.space.model import SearchSpace

__all__ = ["SearchSpace", "load_search_space"]
