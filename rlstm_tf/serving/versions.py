"""Numbered versions of an exported network: whole and checked, or not there."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.exported import versions
from rlstm_tf.writing import PARTIAL, synced, writing

# Digits alone are a version to a server, anything else is not.
_NEW = f"new{PARTIAL}"


class NewVersion:
    """The next version of a network, written where no server looks, then renamed.

        with NewVersion(Path("saved_models/demo")) as new:
            ...  # write into new.path
            version = new.publish()

    Args:
        directory: saved_models/NAME; made if it is not there.

    Attributes:
        path: directory to write into.

    Raises:
        UsageError: when entered, if it is a version itself.
        DataError: when entered, if another export has it, it holds something else than versions, or
            it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: IO | None = None
        self.path = directory / _NEW

    def __enter__(self) -> NewVersion:
        directory = self._directory
        if (directory / "saved_model.pb").exists():
            raise UsageError(f"--output={directory} is one version: give {directory.parent}")
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._take()
            try:
                # No other export is at work: it was killed.
                shutil.rmtree(self.path, ignore_errors=True)
                self.path.mkdir()
            except OSError:
                self._lock.close()
                raise
        return self

    def _take(self) -> None:
        others = [path.name for path in self._directory.iterdir() if path.name != _NEW]
        foreign = [name for name in others if not name.startswith(".")]
        if foreign and not versions(self._directory):
            raise DataError(
                f"{self._directory} holds {min(foreign)}, which is of no exported network: "
                "give another --output"
            )
        self._lock = (self._directory / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DataError(f"{self._directory} is in use by another export") from None

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def publish(self) -> Path:
        """Makes what was written the newest version.

        Returns:
            Its directory: a number, one more than the highest.

        Raises:
            DataError: it cannot be written.
        """
        number = max(versions(self._directory), default=0) + 1
        version = self._directory / str(number)
        with writing(version):
            for path in self.path.rglob("*"):
                if path.is_file():
                    synced(path)
            for path in (*self.path.rglob("*/"), self.path):
                _sync_directory(path)
            # It is refused where someone has put something there meanwhile.
            os.rename(self.path, version)
            _sync_directory(self._directory)
        return version


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
