"""Reads JSON files and checks their values."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import open_file


def read_json(path: str) -> dict[str, Any] | None:
    """Reads a file, local or remote, that holds one JSON object.

    Returns:
        Its values; None if there is no such file.

    Raises:
        DataError: it cannot be read, or is not a JSON object.
    """
    try:
        file = open_file(path)
        return parse_json(file.read(0, file.size), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def parse_json(text: str | bytes, where: str) -> dict[str, Any]:
    """The values of a file that holds one JSON object.

    Raises:
        DataError: it does not.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    return require_type(values, dict, where)


def require_type(value: Any, kind: type, where: str) -> Any:
    """The value, if it is of that type.

    Raises:
        DataError: it is of another.
    """
    # bool is an int to Python, never one here.
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise DataError(f"{where} must be {kind.__name__}, found {type(value).__name__}")
    return value


def require_names(values: Any, where: str) -> tuple[str, ...]:
    """The strings of a list.

    Raises:
        DataError: there is none, one that is no string, or one that occurs twice.
    """
    strings = tuple(require_type(value, str, where) for value in require_type(values, list, where))
    if not strings or len(set(strings)) != len(strings):
        raise DataError(f"{where} must be names, at least one, each once")
    return strings


def require_fields(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values, if their names are the fields of the dataclass `kind`.

    Raises:
        DataError: one lacks, or is none.
    """
    known = {entry.name for entry in fields(kind)}
    if known != set(values):
        found = ", ".join(sorted(known ^ set(values)))
        raise DataError(f"{where} lacks, or does not know, the fields: {found}")
    return values
