"""Journals as earlier versions wrote them: lines without number and checksum."""

import json
from pathlib import Path

from mtbert_ray.journal import JOURNAL_NAME


def unsealed(line: bytes) -> bytes:
    """Return a line as an earlier version wrote it."""
    content = json.loads(line)
    del content["line"], content["crc32"]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def unseal(folder: Path) -> Path:
    """Rewrite a sweep's journal as an earlier version would have written it; return its path."""
    path = folder / JOURNAL_NAME
    path.write_bytes(b"".join(map(unsealed, path.read_bytes().splitlines())))
    return path
