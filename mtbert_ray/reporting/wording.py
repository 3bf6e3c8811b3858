"""How the report writes metrics' names, numbers with their unit, durations and hyperparameters."""

import math
import shlex
from pathlib import Path

from mtbert_ray.events import Scalar, as_scalar
from mtbert_ray.metrics import METRICS, RESERVED_NAMES
from mtbert_ray.schema import one_line
from mtbert_ray.task_metrics import Direction

_SUFFIXES = {"_gib": "", "_kj": "", "_seconds": " time", "_percent": " share"}
_ACRONYMS = {"gpu": "GPU", "cpu": "CPU", "rss": "RSS"}
_UNITS = {name: metric.unit for name, metric in METRICS.items()} | {"adapter_percent": "%"}


def plain_name(metric: str) -> str:
    """Return a metric's name as words, without its unit: `peak_memory_gib` is "peak memory".

    A task's score keeps its name, `topic` or `topic.f1_macro`; its loss, `train_loss.topic`, is "train loss, topic".
    """
    name, _, task = metric.partition(".")
    if name not in RESERVED_NAMES:
        return one_line(metric)
    return f"{_words(name)}, {one_line(task)}" if task else _words(name)


def _words(metric: str) -> str:
    for suffix, words in _SUFFIXES.items():
        if metric.endswith(suffix):
            metric = metric.removesuffix(suffix) + words
    return " ".join(_ACRONYMS.get(word, word) for word in metric.replace("_", " ").split())


def unit_of(metric: str) -> str:
    """Return a metric's unit; a task's score has none."""
    return _UNITS.get(metric, "")


def axis_label(metric: str) -> str:
    """Return a metric's name and unit: "peak memory (GiB)"."""
    unit = unit_of(metric)
    return f"{plain_name(metric)} ({unit})" if unit else plain_name(metric)


def number(metric: str, value: Scalar) -> str:
    """Return a metric's value without its unit, with the digits that its unit needs; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return config_value(value)
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if metric not in _UNITS:
        return _fixed(value, 3) if abs(value) < 10 else f"{value:,.4g}"
    match unit_of(metric):
        case "GiB":
            return _fixed(value, 2)
        case "%":
            return _fixed(value, 1) if abs(value) >= 10 else f"{value:.3g}"
        case "s" | "kJ":
            return _fixed(value, 0 if abs(value) >= 100 else 1)
        case _:
            return _fixed(value, 3) if abs(value) < 1000 else f"{value:,.0f}"


def quantity(metric: str, value: Scalar) -> str:
    """Return a metric's value with its unit: "2.96 GiB"; "not measured" for None."""
    if value is None:
        return "not measured"
    unit = unit_of(metric)
    return f"{number(metric, value)} {unit}".rstrip()


def cell(metric: str, value: float) -> str:
    """Return a metric's value as a cell below `metric_heading`: without its unit, a time as a duration."""
    return duration(value) if unit_of(metric) == "s" else number(metric, value)


def metric_heading(metric: str) -> str:
    """Return the heading of a column of `cell` values: "peak memory (GiB)", and a time without a unit."""
    return plain_name(metric) if unit_of(metric) == "s" else axis_label(metric)


def difference(metric: str, direction: Direction, loss_difference: float) -> str:
    """Return a difference in loss as a difference in the metric: "1.90 GiB more peak memory"."""
    value_difference = loss_difference if direction == "minimize" else -loss_difference
    fewer = "less"
    if metric == "trainable_parameters":
        value_difference, fewer = round(value_difference), "fewer"
    word = "more" if value_difference > 0 else fewer
    return f"{quantity(metric, abs(value_difference))} {word} {plain_name(metric)}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "1 h 53 min"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def config_value(value: object) -> str:
    """Return one hyperparameter's value as a reader would write it."""
    match scalar := as_scalar(value):
        case bool():
            return "yes" if scalar else "no"
        case None:
            return "null"
        case float():
            return f"{scalar:.6g}"
    return str(scalar)


def command_line(module: str, *arguments: str | Path) -> str:
    """Return the command that runs one of this package's modules, quoted for a shell."""
    return shlex.join(["python", "-m", f"mtbert_ray.{module}", *map(str, arguments)])


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: "1 trial", "2 trials"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(parts: list[str]) -> str:
    """Return parts as an enumeration: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _fixed(value: float, digits: int) -> str:
    """Return fixed digits, or two significant ones where those would show a value as zero."""
    text = f"{value:,.{digits}f}"
    return text if value == 0 or float(text.replace(",", "")) != 0 else f"{value:.2g}"
