"""Local files and whatever `tf.io.gfile` opens: positional reads, small texts, lists, sizes.

A path with `://` in it goes through `tf.io.gfile`; TensorFlow is not imported for others.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import threading
import uuid
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TextIO

from rlstm_tf.errors import DataError

# A remote store takes its time to answer, and answers many at once.
_ASKED_AT_ONCE = 32


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
    """Opens a file.

    Raises:
        OSError: the file cannot be opened; `strerror` says why.
    """
    return _RemoteFile(path) if is_remote(path) else _LocalFile(path)


def is_remote(path: str) -> bool:
    """Whether it goes through `tf.io.gfile`."""
    return "://" in path


def read_text(path: str) -> str:
    """All of a file in UTF-8.

    Raises:
        OSError: the file cannot be read; `strerror` says why.
        UnicodeDecodeError: it is not UTF-8.
    """
    if is_remote(path):
        file = _RemoteFile(path)
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
        file = _RemoteFile(path)
        content = io.BytesIO(file.read(0, file.size))
        return io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline)
    return open(path, encoding="utf-8-sig", newline=newline)


def write_text(path: str, text: str) -> None:
    """Writes a file in UTF-8: beside it first, then renamed, so that it is never half there.

    Raises:
        OSError: the file cannot be written; `strerror` says why.
    """
    if is_remote(path):
        # A name of its own: two that write the same file do not rename each other's.
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            with _gfile_errors(path):
                from tensorflow import io as tf_io

                with tf_io.gfile.GFile(partial, "w") as file:
                    file.write(text)
                tf_io.gfile.rename(partial, path, overwrite=True)
        except OSError:
            with contextlib.suppress(OSError):
                remove(partial)
            raise
        return
    with open(path + ".partial", "w", encoding="utf-8") as local:
        local.write(text)
        local.flush()
        os.fsync(local.fileno())
    os.replace(path + ".partial", path)


def sizes(paths: Sequence[str]) -> list[int | None]:
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
        with _gfile_errors(path):
            from tensorflow import io as tf_io

            # Some stores end the names of directories in a slash.
            return sorted(name.rstrip("/") for name in tf_io.gfile.listdir(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def copy(source: str, target: str) -> None:
    """Copies a file; one that is there is replaced.

    Raises:
        OSError: it cannot be read or written; `strerror` says why.
    """
    with _gfile_errors(source):
        from tensorflow import io as tf_io

        tf_io.gfile.copy(source, target, overwrite=True)


def move(source: str, target: str) -> None:
    """Renames a file; one that is there is replaced.

    Raises:
        OSError: it cannot be done; `strerror` says why.
    """
    with _gfile_errors(source):
        from tensorflow import io as tf_io

        tf_io.gfile.rename(source, target, overwrite=True)


def make_directory(path: str) -> None:
    """Makes a directory, and those above it, unless it is there.

    Raises:
        OSError: it cannot be made; `strerror` says why.
    """
    with _gfile_errors(path):
        from tensorflow import io as tf_io

        tf_io.gfile.makedirs(path)


def remove(path: str) -> None:
    """Deletes a file, or a directory and all in it.

    Raises:
        OSError: it cannot be deleted; `strerror` says why.
    """
    with _gfile_errors(path):
        from tensorflow import io as tf_io

        if tf_io.gfile.isdir(path):
            tf_io.gfile.rmtree(path)
        else:
            tf_io.gfile.remove(path)


def _size(path: str) -> int | None:
    if is_remote(path):
        found = _remote_stat(path)
        return None if found is None or found.is_directory else found.length
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


def _remote_stat(path: str) -> Any:
    """`length` and `is_directory`; None if there is nothing."""
    from tensorflow import io as tf_io

    try:
        with _gfile_errors(path):
            return tf_io.gfile.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _gfile_errors(path: str) -> Iterator[None]:
    """Turns errors of `tf.io.gfile` into an OSError with the path; nothing there, no file."""
    from tensorflow import errors

    try:
        yield
    except errors.NotFoundError as error:
        reason = error.message or os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, reason, path) from None
    except errors.OpError as error:
        # Not by its class, which is that of a store with too many requests, too.
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in error.message:
                raise OSError(number, os.strerror(number), path) from None
        raise OSError(errno.EIO, error.message, path) from None


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


class _RemoteFile:
    """One open file a thread, because it keeps a position."""

    def __init__(self, path: str):
        # Here, so that indexes can be read without TensorFlow.
        from tensorflow import errors
        from tensorflow import io as tf_io

        self._path = path
        self._gfile = tf_io.gfile
        self._past_the_end = errors.OutOfRangeError
        self._of_thread = threading.local()
        with _gfile_errors(path):
            self.size = self._gfile.stat(path).length

    def read(self, offset: int, size: int) -> bytes:
        with _gfile_errors(self._path):
            if not hasattr(self._of_thread, "file"):
                self._of_thread.file = self._gfile.GFile(self._path, "rb")
            try:
                self._of_thread.file.seek(offset)
                return self._of_thread.file.read(size)
            except self._past_the_end:
                return b""
