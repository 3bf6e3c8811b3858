"""Everything that decides how one fine-tuning run goes, a file a group of keys.

Keys are searched and set by their dotted names, as `adapter.rank`.
"""

from mtbert_ray.config.adapter import AdapterConfig
from mtbert_ray.config.data import DataConfig
from mtbert_ray.config.nesting import dotted, lay_over, nest
from mtbert_ray.config.probe import ProbeConfig
from mtbert_ray.config.profile import ProfileConfig
from mtbert_ray.config.resources import ResourceConfig
from mtbert_ray.config.smart import SmartConfig
from mtbert_ray.config.trial import TrialConfig

__all__ = [
    "AdapterConfig",
    "DataConfig",
    "ProbeConfig",
    "ProfileConfig",
    "ResourceConfig",
    "SmartConfig",
    "TrialConfig",
    "dotted",
    "lay_over",
    "nest",
]
