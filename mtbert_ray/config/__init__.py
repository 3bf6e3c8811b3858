"""Everything that decides how one fine-tuning run goes.

Keys are searched and set by their dotted names, as `adapter.rank`.
"""

from mtbert_ray.config.keys import dotted, nest
from mtbert_ray.config.sample import SampleConfig
from mtbert_ray.config.sections import (
    AdapterConfig,
    DataConfig,
    HalvingConfig,
    ProbeConfig,
    ProfileConfig,
    ResourceConfig,
    SmartConfig,
)
from mtbert_ray.config.trial import TrialConfig

__all__ = [
    "AdapterConfig",
    "DataConfig",
    "HalvingConfig",
    "ProbeConfig",
    "ProfileConfig",
    "ResourceConfig",
    "SampleConfig",
    "SmartConfig",
    "TrialConfig",
    "dotted",
    "nest",
]
