"""Seeded initialisation that leaves the global random state alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


@contextmanager
def seeded(seed: int, part: str) -> Iterator[None]:
    """Draw what is initialised inside from a stream of its own, on the CPU, and restore the generator afterwards.

    Each part has its own stream, so that a head starts from the same weights whatever stands beside it.

    Args:
        seed: the trial's seed.
        part: names what is initialised, as `head/sst`.
    """
    digest = blake2b(f"{seed}/{part}".encode(), digest_size=7).digest()
    # `torch.manual_seed` would also reseed every accelerator, which fork_rng(devices=[]) would not restore.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest, "big"))
        yield
