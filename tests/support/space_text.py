"""The text of a small search space, for tests of the messages that name its lines."""

import textwrap


def space_text(objectives: str, fixed: str) -> str:
    """Return the YAML of a search space, of which the lines of `fixed` come last.

    Args:
        objectives: its lines, without indentation.
        fixed: likewise.
    """
    return (
        "name: own\n"
        f"objectives:\n{_below(objectives)}"
        "search:\n"
        "  learning_rate: {loguniform: [1e-5, 1e-3]}\n"
        "trials: 4\n"
        f"fixed:\n{_below(fixed)}"
    )


def _below(lines: str) -> str:
    return textwrap.indent(lines.rstrip("\n") + "\n", "  ")
