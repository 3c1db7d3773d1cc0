"""Checksums of values and files, to notice a changed file."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import open_file

_KEY = "sha256"
_BLOCK = 1 << 20


class FileDigest(NamedTuple):
    """Size of a file in bytes, and its hexadecimal sha256."""

    size: int
    sha256: str


def digest_file(path: str) -> FileDigest:
    """Reads a local or remote file, and returns its size and sha256.

    Raises:
        DataError: the file cannot be read.
    """
    checksum = hashlib.sha256()
    try:
        file = open_file(path)
        for offset in range(0, file.size, _BLOCK):
            checksum.update(file.read(offset, _BLOCK))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    return FileDigest(file.size, checksum.hexdigest())


def with_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """Adds the sha256 of JSON values to them, as entry `sha256`."""
    return {**values, _KEY: _json_sha256(values)}


def verify_checksum(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Checks values against their entry `sha256`, and returns them without it.

    Args:
        values: returned by `with_checksum`, and read back from JSON.
        where: file name, for errors.

    Raises:
        DataError: the values have changed.
    """
    values = dict(values)
    expected = values.pop(_KEY, None)
    found = _json_sha256(values)
    if expected != found:
        raise DataError(
            f"{where} was changed since it was written: its values have sha256 {found}, "
            f"it says {expected}"
        )
    return values


def _json_sha256(values: dict[str, Any]) -> str:
    # Hashes the values rather than the text, so that formatting does not count.
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
