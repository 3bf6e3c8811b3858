"""Reads the view that a page carries."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_VIEW = re.compile(r'<script type="application/json" id="view">(.*?)</script>', re.DOTALL)


def view_in(page: Path) -> dict[str, Any]:
    """Return the view in a page."""
    (text,) = _VIEW.findall(page.read_text())
    return json.loads(text)


def texts_in(page: Path) -> str:
    """Return all texts of the view in a page, with one space between words."""
    return " ".join(" ".join(_texts(view_in(page))).split())


def own_markup(page: Path) -> str:
    """Return a page without plotly.js."""
    return re.sub(r'(<script type="text/plain" id="plotly">).*?(</script>)', r"\1\2", page.read_text(), flags=re.DOTALL)


def _texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case _:
            yield str(value)
