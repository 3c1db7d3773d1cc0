"""Stand-ins for `pieces.make` that fail, for tests/test_build.py.

In a module of their own, so that the worker processes that import it load no TensorFlow.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from rlstm_tf.writing import writing
from tfrecords_tools import pieces


def full(task):
    """The disk is full before the fourth piece."""
    if task.piece.endswith("3"):
        with writing(task.piece):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return pieces.make(task)


def dying(task):
    """One decoder crashes every time, another one the first time."""
    if task.video.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    mark = task.piece + ".died"
    if task.video.endswith("4.mp4") and not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return pieces.make(task)


def buggy(task):
    """An error that no input should cause."""
    raise KeyError("bug")
