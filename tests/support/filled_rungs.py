"""Rungs that some trials have reached, for tests of the halving decision."""

import numpy as np

from mtbert_ray.study.pruning.rungs import HalvingConfig, Rungs

NAN = float("nan")


def filled(points: list, *, resource: int = 1, max_resource: int = 9, **options) -> Rungs:
    """Return rungs to which trials t0, t1, ... have reported these losses."""
    rungs = Rungs(HalvingConfig(**options), max_resource)
    for number, losses in enumerate(points):
        rungs.report(f"t{number}", resource, np.array(losses))
    return rungs
