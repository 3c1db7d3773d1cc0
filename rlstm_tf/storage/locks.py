"""Locks between processes of one machine.

The kernel releases a lock when its process ends, however it ends, so a killed process blocks no
one.
"""

from __future__ import annotations

import fcntl
import os
from typing import IO

from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage.creation import open_to_lock


def lock_file(path: str | os.PathLike, in_use: str, waiting: str = "") -> IO[bytes]:
    """Locks a file until it is closed or the process ends.

    Args:
        path: file to lock; created if missing.
        in_use: error message if another process holds the lock.
        waiting: where given, prints this and waits for the other process instead of raising.

    Returns:
        The open file. A process that inherits its descriptor shares the lock.

    Raises:
        DataError: another process holds the lock, or the path is a link.
        OSError: the file cannot be opened, or its file system does not support locks.
    """
    file = open_to_lock(path)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                raise DataError(in_use) from None
            say(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        # Its last owner may have deleted the file before we locked it, and another process may
        # have locked a new one.
        try:
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                raise DataError(in_use)
        except FileNotFoundError:
            raise DataError(in_use) from None
    except BaseException:
        file.close()
        raise
    return file
