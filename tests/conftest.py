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
RAY_FILES = {path for path in ROOT.glob("tests/**/test_*.py") if "pytest.mark.ray" in path.read_text(encoding="utf-8")}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest."""

    def place(item: pytest.Item) -> int:
        folders = [folder for folder in SLOW_FOLDERS if item.path.is_relative_to(ROOT / folder)]
        return 0 if item.path in RAY_FILES else 1 if folders else 2

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep a file in one process, and so all that uses Ray.

    Not by `--dist loadgroup`: xdist 3.8 puts the group into a private attribute that pytest 9.2 does not have any more.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if ROOT / file in RAY_FILES else file

    return ByFile(config, log)


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
