"""Bounds what a text may ask memory for: some megabytes may hold values that take much more.

The bounds of single numbers are in `rlstm_tf.choices`.
"""

from __future__ import annotations

import json
from typing import Any

from rlstm_tf.storage.store import File

# Bytes. The manifest of 100,000 shards has half as many.
MAX_TEXT = 128 << 20
# Of one JSON text; that manifest has half as many.
_MAX_VALUES = 4_000_000
# Our own files have five.
_MAX_DEPTH = 50


def read_text_file(file: File) -> bytes:
    """Reads a whole file of text.

    Args:
        file: from `rlstm_tf.storage.files.open_file`.

    Raises:
        OSError: it cannot be read, or is longer than `MAX_TEXT`.
    """
    if file.size > MAX_TEXT:
        raise OSError(0, f"{file.size} bytes, at most {MAX_TEXT} are read")
    return file.read(0, file.size)


def parse_json_text(text: str | bytes) -> Any:
    """Parses JSON, with a bounded number of values, nested to a bounded depth.

    Raises:
        ValueError: it is not JSON, or above a bound.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    containers = text.count(b"[") + text.count(b"{")
    if len(text) > MAX_TEXT or text.count(b",") + 2 * containers > _MAX_VALUES:
        raise ValueError(f"more than {_MAX_VALUES} values, or {MAX_TEXT} bytes")
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError(f"nested more than {_MAX_DEPTH} times") from None
    level = [values] if containers > _MAX_DEPTH else []
    for _ in range(_MAX_DEPTH):
        inner = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    if level:
        raise ValueError(f"nested more than {_MAX_DEPTH} times")
    return values
