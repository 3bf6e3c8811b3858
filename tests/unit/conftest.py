"""Random encoders of every family in folders, made once a session."""

from collections.abc import Callable
from functools import cache

import pytest
from tiny_encoders import save_tiny_encoder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the folder of a family's encoder, by the family's name; nobody may change what is in it."""
    return cache(lambda family: str(save_tiny_encoder(family, tmp_path_factory.mktemp(family) / family)))
