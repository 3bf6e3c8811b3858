"""The sentences of messages, recorded in a `messages.txt` beside the test, so that only one test knows their words.

`pytest --update-messages TEST` records them anew; what changed is then seen in the diff of `messages.txt`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_TITLE = "## "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-messages", action="store_true", help="record the sentences of messages anew")


@pytest.fixture(scope="module")
def message_snapshot(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Return a check that a text is the one that was recorded under a name.

    The text holds no path or number that differs from run to run.
    """
    path = Path(request.path).parent / "messages.txt"
    recorded = _read(path)
    given: dict[str, str] = {}

    def check(name: str, text: str) -> None:
        assert name not in given, f"{name} names two messages"
        given[name] = text.rstrip("\n")
        if not request.config.getoption("--update-messages"):
            assert given[name] == recorded.get(name), f"{name}: run pytest --update-messages if this is meant"

    yield check
    if request.config.getoption("--update-messages"):
        merged = {**recorded, **given}
        path.write_text("\n".join(f"{_TITLE}{name}\n{merged[name]}\n" for name in sorted(merged)), encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    parts = ("\n" + path.read_text(encoding="utf-8")).split(f"\n{_TITLE}")[1:]
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts)}
