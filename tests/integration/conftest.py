from pathlib import Path

import pytest
from command_line import TINY_SPACE


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    """A space of four quick trials."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_SPACE)
    return path
