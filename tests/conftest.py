"""What every test runs with: no hub, its own token cache, one computing thread, no deadlines."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from message_snapshot import message_snapshot, pytest_addoption  # noqa: F401  # Pytest finds them here.

os.environ["HF_HUB_OFFLINE"] = "1"
# Of the processes that tests start, too: two of them on two cores would only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Nothing is timed in a test: a busy machine would fail it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent
SLOW_FOLDERS = ("tests/integration", "tests/unit/training")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest. Under xdist, a file stays in one process, and so does what uses Ray."""

    def place(item: pytest.Item) -> int:
        folders = [folder for folder in SLOW_FOLDERS if item.path.is_relative_to(ROOT / folder)]
        return 0 if item.get_closest_marker("ray") else 1 if folders else 2

    items.sort(key=place)
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else item.path.relative_to(ROOT).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the tests' tokens out of the user's cache, and out of each other's runs."""
    cache = tmp_path_factory.mktemp("token-cache")
    os.environ["MTBERT_RAY_CACHE"] = str(cache)
    return cache


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """The course's files. A test that needs them skips where they are absent, and fails in CI."""
    return shared_folder("DATA_DIR", "data", "ids-sst-train.csv", "the course's data files")


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small inputs that once came out wrong, each for a kind. Skips and fails as `real_data_dir` does."""
    return shared_folder("CASES_DIR", "cases", "01-raw-quotes.tsv", "the small inputs of known kinds")


def shared_folder(variable: str, name: str, file: str, what: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if (folder / file).exists():
        return folder
    message = f"{what} are not in {folder}; set {variable} to their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
