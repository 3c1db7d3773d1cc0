"""Reads, writes and lists local and remote files.

A path with `://` is remote and goes through `rlstm_tf.storage.stores`; others do not import
TensorFlow.
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
from rlstm_tf.storage.bounded import read_text_file
from rlstm_tf.storage.creation import create_file
from rlstm_tf.storage.names import confine
from rlstm_tf.storage.store import File, Status
from rlstm_tf.storage.stores import get_store

# Remote stores are slow to answer, but answer many requests at once.
_MAX_REQUESTS = 32


def open_file(path: str) -> File:
    """Opens a file.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    return get_store(path).open(path) if is_remote(path) else _LocalFile(path)


def is_remote(path: str) -> bool:
    """Returns whether a path is remote."""
    return "://" in path


def read_text(path: str) -> str:
    """Reads a UTF-8 file.

    Raises:
        OSError: the file cannot be read, or is too long for a text; `strerror` says why.
        UnicodeDecodeError: the file is not UTF-8.
    """
    return read_text_file(open_file(path)).decode()


def open_text(path: str, newline: str | None = None) -> TextIO:
    """Opens a UTF-8 file, with or without a byte order mark, for reading.

    Args:
        path: local or remote file.
        newline: passed to `open`.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    if is_remote(path):
        content = io.BytesIO(read_text_file(open_file(path)))
        return io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline)
    return open(path, encoding="utf-8-sig", newline=newline)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file atomically.

    Raises:
        OSError: the file cannot be written; `strerror` says why.
    """
    if is_remote(path):
        get_store(path).write(path, text.encode())
        return
    with atomic_file(path) as local:
        local.write(text.encode())


def file_sizes(paths: Sequence[str]) -> list[int | None]:
    """Returns the size of each file, bytes; None if it does not exist.

    Raises:
        DataError: a size cannot be determined.
    """
    if any(map(is_remote, paths)):
        with ThreadPoolExecutor(_MAX_REQUESTS) as threads:
            return list(threads.map(_size, paths))
    return list(map(_size, paths))


def is_directory(path: str) -> bool:
    """Returns whether a path is an existing directory.

    Raises:
        DataError: it cannot be determined.
    """
    if not is_remote(path):
        status = _local_stat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)
    found = _remote_stat(path)
    return found is not None and found.is_directory


def list_directory(path: str) -> list[str]:
    """Returns the names in a directory, sorted.

    Raises:
        DataError: the directory cannot be read, or a store lists something else than names in it.
    """
    try:
        if not is_remote(path):
            return sorted(os.listdir(path))
        names = sorted(get_store(path).names(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return [confine(name, path, 1) for name in names]


def copy(source: str, target: str) -> None:
    """Copies a file, replacing an existing one.

    Raises:
        DataError: the target is a link.
        OSError: the file cannot be read or written; `strerror` says why.
    """
    if not is_remote(target):
        # The store's library would follow a link.
        create_file(target).close()
    get_store(target if is_remote(target) else source).copy(source, target)


def move(source: str, target: str) -> None:
    """Renames a file, replacing an existing one.

    Raises:
        OSError: the file cannot be renamed; `strerror` says why.
    """
    get_store(source).move(source, target)


def make_directory(path: str) -> None:
    """Creates a directory and its parents, unless they exist.

    Raises:
        OSError: the directory cannot be created; `strerror` says why.
    """
    get_store(path).make_directory(path)


def remove(path: str) -> None:
    """Deletes a file, or a directory with its contents.

    Raises:
        OSError: the path cannot be deleted; `strerror` says why.
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
    # ValueError: a name with a null byte.
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
    """An open file, closed when this object is freed.

    Not a memory map, because truncating a mapped file crashes the process.
    """

    def __init__(self, path: str):
        # Opening a pipe would wait for its other end.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        # The system closes the files of a process that exits.
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)
