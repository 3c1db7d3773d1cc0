"""Local files and those of stores: positional reads, small texts, lists, sizes.

A path with `://` in it goes through `rlstm_tf.storage.stores`; TensorFlow is not imported for
others.
"""

from __future__ import annotations

import io
import os
import stat
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import atomic_file
from rlstm_tf.storage.store import File, Status
from rlstm_tf.storage.stores import get_store

# A remote store takes its time to answer, and answers many at once.
_ASKED_AT_ONCE = 32


def open_file(path: str) -> File:
    """Opens a file.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    return get_store(path).open(path) if is_remote(path) else _LocalFile(path)


def is_remote(path: str) -> bool:
    """Whether it is in a store."""
    return "://" in path


def read_text(path: str) -> str:
    """All of a file in UTF-8.

    Raises:
        OSError: the file cannot be read; `strerror` says why.
        UnicodeDecodeError: it is not UTF-8.
    """
    if is_remote(path):
        file = open_file(path)
        return file.read(0, file.size).decode()
    with open(path, encoding="utf-8") as local:
        return local.read()


def open_text(path: str, newline: str | None = None) -> TextIO:
    """Opens a file in UTF-8 for reading, with or without a byte order mark.

    Args:
        path: of the file.
        newline: as of `open`.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    if is_remote(path):
        file = open_file(path)
        content = io.BytesIO(file.read(0, file.size))
        return io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline)
    return open(path, encoding="utf-8-sig", newline=newline)


def write_text(path: str, text: str) -> None:
    """Writes a file in UTF-8: beside it first, then renamed, so that it is never half there.

    Raises:
        OSError: the file cannot be written; `strerror` says why.
    """
    if is_remote(path):
        get_store(path).write(path, text.encode())
        return
    with atomic_file(path) as local:
        local.write(text.encode())


def file_sizes(paths: Sequence[str]) -> list[int | None]:
    """Bytes of each file; None where there is no file.

    Raises:
        DataError: it cannot be known.
    """
    if any(map(is_remote, paths)):
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
            return list(threads.map(_size, paths))
    return list(map(_size, paths))


def is_directory(path: str) -> bool:
    """Whether there is such a directory.

    Raises:
        DataError: it cannot be known.
    """
    if not is_remote(path):
        status = _local_stat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)
    found = _remote_stat(path)
    return found is not None and found.is_directory


def list_directory(path: str) -> list[str]:
    """Names in a directory, sorted.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if not is_remote(path):
            return sorted(os.listdir(path))
        return sorted(get_store(path).names(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def copy(source: str, target: str) -> None:
    """Copies a file; one that is there is replaced.

    Raises:
        OSError: it cannot be read or written; `strerror` says why.
    """
    get_store(target if is_remote(target) else source).copy(source, target)


def move(source: str, target: str) -> None:
    """Renames a file; one that is there is replaced.

    Raises:
        OSError: it cannot be done; `strerror` says why.
    """
    get_store(source).move(source, target)


def make_directory(path: str) -> None:
    """Makes a directory, and those above it, unless it is there.

    Raises:
        OSError: it cannot be made; `strerror` says why.
    """
    get_store(path).make_directory(path)


def remove(path: str) -> None:
    """Deletes a file, or a directory and all in it.

    Raises:
        OSError: it cannot be deleted; `strerror` says why.
    """
    get_store(path).remove(path)


def _size(path: str) -> int | None:
    if is_remote(path):
        found = _remote_stat(path)
        return None if found is None or found.is_directory else found.size
    status = _local_stat(path)
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else None


def _local_stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    # The last: a null byte is in no file's name.
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def _remote_stat(path: str) -> Status | None:
    try:
        return get_store(path).status(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


class _LocalFile:
    """One descriptor, closed when this object is no longer used.

    Not a memory map: a file that is cut short under a map kills the process.
    """

    def __init__(self, path: str):
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Not when the process ends, where all are closed anyway.
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)
