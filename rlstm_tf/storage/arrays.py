"""Reads arrays, after comparing the size that a header claims with that of the file; checksums.

A file of a few bytes may claim an array of a terabyte.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from rlstm_tf.storage.atomic import atomic_file, writing


def parse_array(content: bytes) -> np.ndarray:
    """Parses the content of a file `.npy`.

    Raises:
        ValueError: it is not an array, holds objects, or claims another size than it has.
    """
    try:
        return _read_array(io.BytesIO(content), len(content))
    except ValueError:
        raise
    # A changed byte of the header can cause almost any error in NumPy.
    except Exception as error:
        raise ValueError(f"not a NumPy array: {error}") from None


def read_arrays(file: IO[bytes]) -> dict[str, np.ndarray]:
    """Reads an archive `.npz` that is not compressed: arrays by name.

    Raises:
        OSError, MemoryError, ValueError, and others: a changed byte can cause almost any error in
            NumPy and zipfile.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        # Also true of parts that overlap.
        if sum(member.file_size for member in members) > size:
            raise ValueError("its arrays claim more bytes than the file has")
        arrays = {}
        for member in members:
            with archive.open(member) as stream:
                name = member.filename
                name = name[: -len(".npy")] if name.endswith(".npy") else name
                arrays[name] = _read_array(stream, member.file_size)
        return arrays


def map_array(path: str) -> np.ndarray:
    """Maps a local file `.npy` into memory, read-only.

    Processes of a machine share the memory. A plain array: `np.memmap` takes five times as long to
    select rows.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not an array, or shorter than it claims.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError):
        raise
    # As in `parse_array`.
    except Exception as error:
        raise ValueError(f"not a NumPy array: {error}") from None


def write_array(path: str, array: np.ndarray) -> None:
    """Writes a file `.npy` atomically.

    Raises:
        DataError: it cannot be written.
    """
    with writing(path), atomic_file(path) as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        # NumPy's own writer hides why a disk takes no more.
        file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def arrays_sha256(arrays: Mapping[str, np.ndarray], info: dict[str, Any]) -> str:
    """Returns the hexadecimal sha256 of named arrays and JSON values."""
    checksum = hashlib.sha256(json.dumps(info, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        checksum.update(f"{name} {array.dtype} {array.shape} ".encode())
        checksum.update(array.data if array.size else b"")
    return checksum.hexdigest()


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of NumPy's format")
    parse = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = parse[version[0] - 1](stream)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"an array of {dtype}")
    left = size - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"an array of shape {shape} in {left} bytes")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
