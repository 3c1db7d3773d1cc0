"""Numbered versions of an exported network: whole and checked, or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import versions
from rlstm_tf.storage.atomic import PARTIAL, sync_file, writing
from rlstm_tf.storage.locks import lock_file

# Digits alone are a version to a server, anything else is not.
_NEW = f"new{PARTIAL}"
_LOCK = ".lock"


@contextlib.contextmanager
def new_version(directory: Path) -> Iterator[Path]:
    """A directory that no server looks into, to write the next version of a network.

        with new_version(Path("saved_models/demo")) as partial:
            ...  # write into it
            version = publish(partial)

    It is deleted at the end if it was not published; so is what was made for it.

    Args:
        directory: saved_models/NAME; made if it is not there.

    Yields:
        The directory to write into. No other export has it.

    Raises:
        DataError: another export has it, it holds something else than versions, or it cannot be
            written.
    """
    partial = directory / _NEW
    made = [path for path in (directory, *directory.parents) if not os.path.lexists(path)]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            _check(directory)
            in_use = f"{directory} is in use by another export"
            stack.enter_context(lock_file(directory / _LOCK, in_use))
            if made:
                stack.callback(_remove_lock, directory)
            # No other export is at work: what lies there is of one that was killed.
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        stack.callback(shutil.rmtree, partial, ignore_errors=True)
        yield partial


def _remove_lock(directory: Path) -> None:
    """Deletes the lock that is held, if there is nothing else."""
    with contextlib.suppress(OSError):
        if os.listdir(directory) == [_LOCK]:
            os.remove(directory / _LOCK)


def _remove_empty(directories: list[Path]) -> None:
    """Deletes directories, each in the next one, up to one that holds something."""
    with contextlib.suppress(OSError):
        for directory in directories:
            directory.rmdir()


def _check(directory: Path) -> None:
    foreign = {path.name for path in directory.iterdir() if not path.name.startswith(".")} - {_NEW}
    if foreign and not versions(directory):
        raise DataError(
            f"{directory} holds {min(foreign)}, which is of no exported network: "
            "give another --output"
        )


def publish(partial: Path, others: Sequence[int] = ()) -> Path:
    """Makes what was written the newest version.

    Args:
        partial: of `new_version`.
        others: numbers of versions that are elsewhere, in the store that this one is for.

    Returns:
        Its directory: a number, one more than the highest.

    Raises:
        DataError: it cannot be written.
    """
    number = max((*versions(partial.parent), *others), default=0) + 1
    version = partial.parent / str(number)
    with writing(version):
        for path in (*partial.rglob("*"), partial):
            if path.is_dir():
                _sync_directory(path)
            else:
                sync_file(path)
        # The system refuses it where someone has put a version meanwhile.
        os.rename(partial, version)
        _sync_directory(partial.parent)
    return version


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
