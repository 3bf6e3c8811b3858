"""Everything that decides how one fine-tuning run goes, a file a group of keys.

Keys are searched and set by their dotted names, as `adapter.rank`.
"""

from mtbert_ray.config.data import DataConfig
from mtbert_ray.config.methods import AdapterConfig, SmartConfig
from mtbert_ray.config.nesting import dotted, lay_over, nest
from mtbert_ray.config.resources import ProbeConfig, ProfileConfig, ResourceConfig
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.config.trial import TrialConfig

__all__ = [
    "AdapterConfig",
    "DataConfig",
    "ProbeConfig",
    "ProfileConfig",
    "ResourceConfig",
    "SampleConfig",
    "SmartConfig",
    "TrialConfig",
    "dotted",
    "lay_over",
    "nest",
]
