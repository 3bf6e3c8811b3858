"""Keys as texts: what a key of YAML is called that is none, as null, 1.5 or a list."""

import re


def key_text(key: object) -> str:
    """Return a key as YAML would have it."""
    if isinstance(key, str):
        return key
    if isinstance(key, tuple):
        return f"[{', '.join(map(key_text, key))}]"
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return str(key)


def is_number(key: str) -> bool:
    """Whether a key is a number, whose dot parts no names."""
    return re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", key, re.IGNORECASE) is not None
