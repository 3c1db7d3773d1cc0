"""Files that appear whole or not at all, and what is said when they cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator

from rlstm_tf.errors import DataError

PARTIAL = ".partial"


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns an OSError into a DataError that names `path`, and the space if that is what lacks."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: str | os.PathLike, error: OSError) -> DataError:
    """The error for a write that failed."""
    reason = error.strerror or str(error)
    # Of a store that TensorFlow opens, the space is not known here.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and "://" not in os.fspath(path):
        place = os.path.abspath(path)
        while not os.path.exists(place):
            place = os.path.dirname(place)
        reason += f" ({shutil.disk_usage(place).free / 1e6:.1f} MB free)"
    return DataError(f"cannot write {os.fspath(path)}: {reason}")


def sync_file(path: str | os.PathLike) -> None:
    """Waits until a file that was closed is on its disk.

    Raises:
        OSError: it cannot be.
    """
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def write_atomic(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file that is there with all of `content`, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    partial = f"{os.fspath(path)}.{os.getpid()}{PARTIAL}"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise
