"""Labels as text: what a class is called, and which texts are the same label. Knows no task and no table."""

import re
import unicodedata

import numpy as np

from mtbert_ray.data.raw_table import is_missing

BOOLEANS = ("false", "true")
"""How classes are called whose labels are booleans, in the order of their numbers."""
_PLAIN_WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(?:\.0*)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LIKE_NOTHING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "nat"})


def class_label(value: object) -> str | None:
    """Return a label as text, by which its class is known; None where it is none.

    Whole numbers are without a fraction: `1.0` is `1`, also in a text. Other texts are as they are written, so `01` is
    not `1`, but for spaces around them and the way that Unicode composes accents (NFC).
    """
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return BOOLEANS[int(value)]
    if isinstance(value, int | float | np.number) and float(value).is_integer():
        return str(int(value))
    return name_of(str(value)) or None


def name_of(text: str) -> str:
    """Return a class's name as names are compared: composed (NFC), stripped, whole numbers without a fraction."""
    name = unicodedata.normalize("NFC", text).strip()
    plain = _PLAIN_WHOLE.fullmatch(name)
    return name if plain is None else plain[1]


def loose_name_of(text: str) -> str:
    """Return what is the same for names that differ only in case or in how a number is written."""
    number = whole_number(text)
    return name_of(text).casefold() if number is None else str(number)


def whole_number(label: str) -> int | None:
    """Return the whole number that a label is, however it is written, or None."""
    try:
        if _INTEGER.fullmatch(label):
            return int(label)  # A float would lose the digits behind the sixteenth.
        number = float(label)
    except ValueError:
        return None
    return int(number) if number.is_integer() and "_" not in label else None


def is_plain(label: str) -> bool:
    """Tell whether a text is no whole number, or is written as the number that it is: not `01`, `+1` or `1e3`."""
    number = whole_number(label)
    return number is None or str(number) == name_of(label)


def is_number(label: str) -> bool:
    """Tell whether a label is a number, `nan` and `inf` among them."""
    try:
        float(label)
    except ValueError:
        return False
    return True


def is_boolean(label: str) -> bool:
    """Tell whether a label is true or false; how Python, R, SQL and JSON write them differs."""
    return label.casefold() in BOOLEANS


def is_like_nothing(label: str) -> bool:
    """Tell whether a text is what programs write where there is nothing, as `NaN`; here it is a text like others."""
    return label.casefold() in _LIKE_NOTHING
