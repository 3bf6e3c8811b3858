"""Says which scores have no value, and why: `name -> reason`, as an epoch reports it beside its metrics.

A score that is undefined for a dev set is null, never 0.
"""

from collections.abc import Iterator, Mapping

Undefined = Mapping[str, str]
"""Name of a metric that is null -> why, as `{"sim": "every label is 2.5", "dev_score": "sim has no pearson: ..."}`."""


def in_words(undefined: Undefined) -> Iterator[str]:
    """Yield `no dev_score: sim has no pearson: every label is 2.5`, and each other metric that this does not name."""
    if "dev_score" in undefined:
        yield f"no dev_score: {undefined['dev_score']}"
    for name, reason in undefined.items():
        task, dot, _ = name.partition(".")
        # A task's own score is in the reason of dev_score, and once more under the name of its metric.
        if dot and undefined.get(task) != reason:
            yield f"no {name}: {reason}"
