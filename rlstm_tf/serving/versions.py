"""Publishes numbered versions of an exported network atomically."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import list_versions
from rlstm_tf.storage.atomic import PARTIAL, writing
from rlstm_tf.storage.creation import refuse_link
from rlstm_tf.storage.locks import lock_file

# A server takes only names of digits for versions.
_NEW = f"new{PARTIAL}"
_LOCK = ".lock"


@contextlib.contextmanager
def new_version(directory: Path) -> Iterator[Path]:
    """Yields a directory that servers ignore, to write the next version of a network to.

        with new_version(Path("saved_models/demo")) as partial:
            ...  # write into it
            version = publish(partial)

    At the end it is deleted if it was not published, with the directories created for it.

    Args:
        directory: saved_models/NAME; created if missing. Locked until the end.

    Raises:
        DataError: another export uses the directory, it holds something other than versions, or it
            cannot be written.
    """
    partial = directory / _NEW
    created = [path for path in (directory, *directory.parents) if not os.path.lexists(path)]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, created)
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            _check_directory(directory)
            in_use = f"{directory} is in use by another export"
            stack.enter_context(lock_file(directory / _LOCK, in_use))
            if created:
                stack.callback(_remove_lock, directory)
            refuse_link(partial)
            # Left by a killed export: the lock excludes a running one.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        stack.callback(shutil.rmtree, partial, ignore_errors=True)
        yield partial


def _remove_lock(directory: Path) -> None:
    """Deletes the held lock's file if the directory has no other."""
    with contextlib.suppress(OSError):
        if os.listdir(directory) == [_LOCK]:
            os.remove(directory / _LOCK)


def _remove_empty(directories: list[Path]) -> None:
    """Deletes nested directories, the innermost first, up to one that is not empty."""
    with contextlib.suppress(OSError):
        for directory in directories:
            directory.rmdir()


def _check_directory(directory: Path) -> None:
    foreign = {path.name for path in directory.iterdir() if not path.name.startswith(".")} - {_NEW}
    if foreign and not list_versions(directory):
        raise DataError(
            f"{directory} holds {min(foreign)}, which is not from an exported network: "
            "give another --output"
        )


def publish(partial: Path, others: Sequence[int] = ()) -> Path:
    """Makes a written directory the newest version.

    Args:
        partial: the directory from `new_version`.
        others: numbers of versions in the store that this version will be uploaded to.

    Returns:
        The version's directory; its number is one above the highest.

    Raises:
        DataError: the version cannot be written.
    """
    number = max((*list_versions(partial.parent), *others), default=0) + 1
    version = partial.parent / str(number)
    with writing(version):
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        # Fails if another process has created this version meanwhile.
        os.rename(partial, version)
        _sync(partial.parent)
    return version


def _sync(path: Path) -> None:
    """Waits until a file or directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
