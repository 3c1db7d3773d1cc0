"""Files that are written atomically, and errors of files that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from typing import IO

from rlstm_tf.errors import DataError
from rlstm_tf.storage.creation import create_file

PARTIAL = ".partial"


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns an OSError into a DataError that names `path`, and the free space if it is too low."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: str | os.PathLike, error: OSError) -> DataError:
    """Returns the error for a write that failed."""
    reason = error.strerror or str(error)
    # The free space of a remote store is unknown.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and "://" not in os.fspath(path):
        directory = os.path.abspath(path)
        while not os.path.exists(directory):
            directory = os.path.dirname(directory)
        reason += f" ({shutil.disk_usage(directory).free / 1e6:.1f} MB free)"
    return DataError(f"cannot write {os.fspath(path)}: {reason}")


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike, unique: bool = False) -> Iterator[IO[bytes]]:
    """Opens a file beside `path`; at the end of the context it is on disk and renamed to `path`.

    If the context ends with an exception, `path` stays as it was.

    Args:
        path: local file.
        unique: several processes may write `path` at the same time. Each then uses a file of its
            own, which stays behind if the process is killed.

    Raises:
        DataError: a link has the name of the file beside `path`.
        OSError: the file cannot be written.
    """
    name = f"{os.fspath(path)}.{secrets.token_hex(8)}" if unique else os.fspath(path)
    partial = name + PARTIAL
    file = create_file(partial)
    try:
        with file:
            yield file
            sync(file)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


def write_atomic(path: str | os.PathLike, content: bytes) -> None:
    """Writes a local file atomically; other processes may write it at the same time.

    Raises:
        OSError: the file cannot be written; it stays as it was.
    """
    with atomic_file(path, unique=True) as file:
        file.write(content)


def sync(file: IO[bytes]) -> None:
    """Waits until what was written to an open file is on disk.

    Raises:
        OSError: it cannot be written.
    """
    file.flush()
    os.fsync(file.fileno())


def sync_file(path: str | os.PathLike) -> None:
    """Waits until a closed file is on disk.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
