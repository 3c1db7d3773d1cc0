"""Local files and whatever `tf.io.gfile` reads: positional reads by many threads, small texts."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class File(Protocol):
    """A file that several threads read at once.

    Attributes:
        size: bytes.
    """

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer where the file ends.

        Raises:
            OSError: the file cannot be read; `strerror` says why.
        """


def open_file(path: str) -> File:
    """Opens a file; a path with `://` in it goes through `tf.io.gfile`.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    return _RemoteFile(path) if "://" in path else _LocalFile(path)


def read_text(path: str) -> str:
    """All of a file in UTF-8; a path with `://` in it goes through `tf.io.gfile`.

    Raises:
        OSError: the file cannot be read; `strerror` says why.
        UnicodeDecodeError: it is not UTF-8.
    """
    if "://" not in path:
        with open(path, encoding="utf-8") as file:
            return file.read()
    from tensorflow import errors, io

    try:
        with io.gfile.GFile(path) as file:
            return file.read()
    except errors.OpError as error:
        raise OSError(0, error.message, path) from None


def write_text(path: str, text: str) -> None:
    """Writes a file in UTF-8: beside it first, then renamed, so that it is never half there."""
    if "://" in path:
        from tensorflow import io

        with io.gfile.GFile(path + ".partial", "w") as file:
            file.write(text)
        io.gfile.rename(path + ".partial", path, overwrite=True)
        return
    with open(path + ".partial", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".partial", path)


class _LocalFile:
    """One descriptor, closed when this object is no longer used.

    Not a memory map: a file that is cut short under a map kills the process.
    """

    def __init__(self, path: str):
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)


class _RemoteFile:
    """One open file a thread, because it keeps a position."""

    def __init__(self, path: str):
        # Here, so that indexes can be read without TensorFlow.
        from tensorflow import errors
        from tensorflow import io as tf_io

        self._path = path
        self._gfile = tf_io.gfile
        self._errors = errors
        self._of_thread = threading.local()
        try:
            self.size = self._gfile.stat(path).length
        except errors.OpError as error:
            raise OSError(0, error.message, path) from None

    def read(self, offset: int, size: int) -> bytes:
        try:
            if not hasattr(self._of_thread, "file"):
                self._of_thread.file = self._gfile.GFile(self._path, "rb")
            self._of_thread.file.seek(offset)
            return self._of_thread.file.read(size)
        except self._errors.OutOfRangeError:
            return b""
        except self._errors.OpError as error:
            raise OSError(0, error.message, self._path) from None
