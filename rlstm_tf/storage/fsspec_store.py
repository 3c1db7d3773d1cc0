"""Accesses remote files through fsspec: `s3://` (with s3fs), `http(s)://`, and others."""

# ruff: noqa: D102  (the methods are described in store.Store)

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from rlstm_tf.storage.store import File, Status


class FsspecStore:
    """A `rlstm_tf.storage.store.Store` for one scheme.

    Args:
        file_system: returned by `fsspec.filesystem`, without a listings cache.
    """

    def __init__(self, file_system: Any) -> None:
        self._files = file_system

    def status(self, path: str) -> Status:
        with _errors(path):
            found = self._files.info(path)
        return Status(found["type"] == "directory", found["size"] or 0)

    def open(self, path: str) -> File:
        return _File(self._files, path, self.status(path).size)

    def names(self, path: str) -> list[str]:
        with _errors(path):
            found = self._files.ls(path, detail=False)
        entries = [name.rstrip("/") for name in found]
        # Some stores list the directory itself.
        return [name.rsplit("/", 1)[-1] for name in entries if not path.rstrip("/").endswith(name)]

    def write(self, path: str, content: bytes) -> None:
        with _errors(path):
            self._files.pipe_file(path, content)

    def copy(self, source: str, target: str) -> None:
        with _errors(source):
            if "://" not in source:
                self._files.put_file(source, target)
            elif "://" not in target:
                self._files.get_file(source, target)
            else:
                self._files.cp_file(source, target)

    def move(self, source: str, target: str) -> None:
        with _errors(source):
            self._files.cp_file(source, target)
            self._files.rm_file(source)

    def make_directory(self, path: str) -> None:
        """Does nothing: object stores have no directories."""

    def remove(self, path: str) -> None:
        with _errors(path):
            self._files.rm(path, recursive=True)


class _File:
    def __init__(self, files: Any, path: str, size: int) -> None:
        self.size = size
        self._files = files
        self._path = path

    def read(self, offset: int, size: int) -> bytes:
        # Stores refuse ranges past the end.
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        with _errors(self._path):
            return self._files.cat_file(self._path, start=offset, end=end)


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turns any exception of a store's library into an OSError with `strerror` and the path."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except Exception as error:
        number = getattr(error, "errno", None) or errno.EIO
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OSError(number, reason, path) from error
