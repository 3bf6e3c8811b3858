"""Writes a view into one page, index.html, that opens from disk, asks nobody for anything, and prints.

The page's own script and style lie beside this module, in page/, and go into the page as they are. Charts are drawn by
plotly.js, which the Python package plotly carries: compressed it takes 2 MB of the page, which the browser unpacks, so
that the page stays one file that can be sent to somebody.
"""

import base64
import gzip
import json
from functools import cache
from importlib import resources
from string import Template

from mtbert_ray.reporting.view import SweepView
from mtbert_ray.schema import one_line

_SCRIPTS = (
    "elements.js",
    "numbers.js",
    "sweep.js",
    "charts.js",
    "answer.js",
    "front.js",
    "limits.js",
    "filters.js",
    "table.js",
    "detail.js",
    "effects.js",
    "progress.js",
    "rest.js",
    "main.js",
)
"""In the order in which they run: each uses those before it."""
_UNSAFE = {sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""What would end or change a script element, or a line of it, as JSON may write it too."""


def page_html(view: SweepView) -> str:
    """Return the page of a view."""
    scripts = "\n".join(_own(name) for name in _SCRIPTS)
    return Template(_own("page.html")).substitute(
        title=_html_text(f"{view['name']}: sweep report"),
        style=_own("style.css"),
        view=script_safe_json(view),
        plotly=_plotly(),
        script=f'"use strict";\n(() => {{\n{scripts}\n}})();',
    )


def script_safe_json(value: object) -> str:
    """Return JSON that a script element can hold, whatever its texts hold. NaN and infinities are refused.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign, escape in _UNSAFE.items():
        text = text.replace(sign, escape)
    return text


def _html_text(text: str) -> str:
    return one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@cache
def _own(name: str) -> str:
    return (resources.files("mtbert_ray.reporting") / "page" / name).read_text("utf-8")


@cache
def _plotly() -> str:
    script = (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    # Without a time in its header, so that the same view gives the same page.
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()
