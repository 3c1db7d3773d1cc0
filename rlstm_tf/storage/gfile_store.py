"""Accesses remote and local files through `tf.io.gfile`."""

# ruff: noqa: D102  (the methods are described in store.Store)

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from collections.abc import Iterator

from tensorflow import errors
from tensorflow import io as tf_io

from rlstm_tf.storage.store import File, Status


class GfileStore:
    """A `rlstm_tf.storage.store.Store` for all schemes that TensorFlow supports."""

    def status(self, path: str) -> Status:
        with _errors(path):
            found = tf_io.gfile.stat(path)
        return Status(found.is_directory, found.length)

    def open(self, path: str) -> File:
        return _File(path, self.status(path).size)

    def names(self, path: str) -> list[str]:
        with _errors(path):
            # Some stores append a slash to the names of directories, and list the directory itself.
            names = (name.rstrip("/") for name in tf_io.gfile.listdir(path))
            return [name for name in names if name]

    def write(self, path: str, content: bytes) -> None:
        # A unique name, because several processes may write the same file.
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            with _errors(path):
                with tf_io.gfile.GFile(partial, "wb") as file:
                    file.write(content)
                tf_io.gfile.rename(partial, path, overwrite=True)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(partial)
            raise

    def copy(self, source: str, target: str) -> None:
        with _errors(source):
            tf_io.gfile.copy(source, target, overwrite=True)

    def move(self, source: str, target: str) -> None:
        with _errors(source):
            tf_io.gfile.rename(source, target, overwrite=True)

    def make_directory(self, path: str) -> None:
        with _errors(path):
            tf_io.gfile.makedirs(path)

    def remove(self, path: str) -> None:
        with _errors(path):
            if tf_io.gfile.isdir(path):
                tf_io.gfile.rmtree(path)
            else:
                tf_io.gfile.remove(path)


class _File:
    """A file that each thread opens for itself, because an open one has a position."""

    def __init__(self, path: str, size: int) -> None:
        self.size = size
        self._path = path
        self._local = threading.local()

    def read(self, offset: int, size: int) -> bytes:
        with _errors(self._path):
            if not hasattr(self._local, "file"):
                self._local.file = tf_io.gfile.GFile(self._path, "rb")
            try:
                self._local.file.seek(offset)
                return self._local.file.read(size)
            except errors.OutOfRangeError:
                return b""


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turns errors of `tf.io.gfile` into an OSError with the path."""
    try:
        yield
    except errors.NotFoundError as error:
        reason = error.message or os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, reason, path) from None
    except errors.OpError as error:
        # Searches the message: stores also raise this class for too many requests.
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in error.message:
                raise OSError(number, os.strerror(number), path) from None
        raise OSError(errno.EIO, error.message, path) from None
