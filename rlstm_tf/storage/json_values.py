"""Values of a JSON file: sealed when they are written, checked when they are read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import open_file

_SEAL = "sha256"


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """The values and their sha256, so that a changed one is noticed.

    Args:
        values: what JSON can hold; `sha256` is not among its names.
    """
    return {**values, _SEAL: _sha256(values)}


def is_sealed(values: dict[str, Any]) -> bool:
    """Whether they were written with a sha256."""
    return _SEAL in values


def unsealed(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values without their sha256.

    Args:
        values: of `sealed`, through JSON and back.
        where: named in errors.

    Raises:
        DataError: they are not the ones that were sealed.
    """
    values = dict(values)
    said = values.pop(_SEAL, None)
    found = _sha256(values)
    if said != found:
        raise DataError(
            f"{where} was changed since it was written: its values have sha256 {found}, "
            f"it says {said}"
        )
    return values


def read_json(path: str) -> dict[str, Any] | None:
    """Reads a file, local or remote, that holds one JSON object.

    Returns:
        Its values; None if there is no such file.

    Raises:
        DataError: it cannot be read, or is not a JSON object.
    """
    try:
        file = open_file(path)
        return parsed(file.read(0, file.size), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def parsed(text: str | bytes, where: str) -> dict[str, Any]:
    """The values of a file that holds one JSON object.

    Raises:
        DataError: it does not.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    return typed(values, dict, where)


def typed(value: Any, kind: type, where: str) -> Any:
    """The value, if it is of that type.

    Raises:
        DataError: it is of another.
    """
    # bool is an int to Python, never one here.
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise DataError(f"{where} must be {kind.__name__}, found {type(value).__name__}")
    return value


def names(values: Any, where: str) -> tuple[str, ...]:
    """The strings of a list.

    Raises:
        DataError: there is none, one that is no string, or one that occurs twice.
    """
    strings = tuple(typed(value, str, where) for value in typed(values, list, where))
    if not strings or len(set(strings)) != len(strings):
        raise DataError(f"{where} must be names, at least one, each once")
    return strings


def of_fields(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values, if their names are the fields of the dataclass `kind`.

    Raises:
        DataError: one lacks, or is none.
    """
    known = {entry.name for entry in fields(kind)}
    if known != set(values):
        found = ", ".join(sorted(known ^ set(values)))
        raise DataError(f"{where} lacks, or does not know, the fields: {found}")
    return values


def _sha256(values: dict[str, Any]) -> str:
    # Of the values, not of the text: laid out differently they are the same manifest.
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
