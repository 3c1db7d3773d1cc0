"""Creates files and directories in places that others may write too.

In a shared directory, anyone may have put a link under the name of a temporary file or a lock.
Opened for writing, it would lead to a file elsewhere. So links are refused, and a new file is one
that this process has created. Only `rlstm_tf.storage` opens files for writing.
"""

from __future__ import annotations

import contextlib
import os
from typing import IO

from rlstm_tf.errors import DataError


def create_file(path: str | os.PathLike) -> IO[bytes]:
    """Creates a file and opens it; what a killed process left under the name is deleted before.

    Raises:
        DataError: the name is that of a symbolic link.
        OSError: the file cannot be created.
    """
    refuse_link(path)
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    return open(path, "wb", opener=_create)


def write_new(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file with `create_file`, for directories that are renamed as a whole.

    Raises:
        DataError, OSError: as for `create_file`.
    """
    with create_file(path) as file:
        file.write(content)


def open_to_append(path: str | os.PathLike) -> IO[bytes]:
    """Opens a file for writing at its end, or creates it.

    Raises:
        DataError: the name is that of a symbolic link.
        OSError: the file cannot be opened.
    """
    refuse_link(path)
    return open(path, "ab", opener=_open)


def open_to_lock(path: str | os.PathLike) -> IO[bytes]:
    """Opens a file whose content does not matter, and which stays as it is, or creates it.

    Raises:
        DataError: the name is that of a symbolic link.
        OSError: the file cannot be opened.
    """
    refuse_link(path)
    return open(path, "wb", opener=_open)


def make_directory(path: str | os.PathLike) -> None:
    """Creates a directory, unless it exists; its parent exists.

    Raises:
        DataError: the name is that of a symbolic link.
        OSError: it cannot be created.
    """
    refuse_link(path)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def refuse_link(path: str | os.PathLike) -> None:
    """Raises DataError if a name, which this package alone writes, is that of a symbolic link."""
    place = str(path)
    if os.path.islink(place):
        raise DataError(
            f"{place} is a link to {os.readlink(place)}, which would be written instead: "
            "delete the link"
        )


def _create(path: str, flags: int) -> int:
    return _open(path, flags | os.O_EXCL)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW, 0o666)
