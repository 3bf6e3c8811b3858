"""Says what a value must be, in the place of pydantic's words."""

from pydantic_core import ErrorDetails


def sentence_of(detail: ErrorDetails) -> str:
    """Return the message of a validator of ours."""
    return detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def wanted(detail: ErrorDetails) -> str:
    """Return what a value must be, as `must be a whole number`, in the place of pydantic's words."""
    if detail["type"] in _WANTED:
        if _WANTED[detail["type"]] in ("must be a whole number", "must be a number") and _is_huge(detail["input"]):
            return _WANTED[detail["type"]].replace("a ", "a smaller ")
        return _WANTED[detail["type"]]
    if detail["type"] in _COUNTED:
        key, bound, unit = _COUNTED[detail["type"]]
        count = detail["ctx"][key]
        if count == 1 and bound == "at least" and unit == "character":
            return "must not be empty"
        return f"must have {bound} {count} {unit}{'' if count == 1 else 's'}"
    if detail["type"] in _BOUNDS:
        key, words = _BOUNDS[detail["type"]]
        bound = detail["ctx"][key]
        return f"must be {words} {bound if isinstance(bound, int) else _plain(bound)}"
    return sentence_of(detail).replace("Input should be", "must be")


def _is_huge(got: object) -> bool:
    """Whether a number is too large to be told whether it is whole (of floats), or to be a float (of whole ones)."""
    if isinstance(got, bool) or not isinstance(got, int | float):
        return False
    return abs(got) >= (2**1023 if isinstance(got, int) else 2.0**63)


def _plain(bound: float) -> str:
    return str(int(bound)) if bound.is_integer() and abs(bound) < 1e15 else f"{bound:g}"


_WANTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("string_type", "string_sub_type"), "must be a text"),
    "string_unicode": "must be a text",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "must be a list"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type", "mapping_type", "dataclass_type"), "must be a mapping"
    ),
    "none_required": "must be null",
    "recursion_loop": "must not contain itself",
}
"""Type of pydantic's error -> what the value must be."""

_COUNTED = {
    "too_short": ("min_length", "at least", "item"),
    "too_long": ("max_length", "at most", "item"),
    "string_too_short": ("min_length", "at least", "character"),
    "string_too_long": ("max_length", "at most", "character"),
}

_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "greater than or equal to"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "less than or equal to"),
}
