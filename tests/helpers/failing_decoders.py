"""Replacements for `decoded_video.decode` that fail.

In a module of their own, so that the worker processes that import it do not load TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from pathlib import Path

from rlstm_tf.data.video import DamagedVideoError
from rlstm_tf.storage.atomic import writing
from tfrecords_tools.builder import decoded_video


def full(task):
    """Fails as if the disk were full before the fourth video."""
    if task.target.endswith("3"):
        with writing(task.target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return decoded_video.decode(task)


def dying(task):
    """Crashes on one video every time, and on another the first time."""
    if task.video.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    mark = task.target + ".died"
    if task.video.endswith("4.mp4") and not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return decoded_video.decode(task)


def buggy(task):
    """Raises an error that no input should cause."""
    raise KeyError("bug")


def killed(task):
    """Is killed on one video every time, as by the kernel when memory runs out."""
    if task.video.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decoded_video.decode(task)


@contextlib.contextmanager
def no_more_files():
    """Keeps this process from opening another file while the context lasts."""
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def no_files(task):
    """Cannot open another file while it decodes the fourth video."""
    if not task.video.endswith("3.mp4"):
        return decoded_video.decode(task)
    with no_more_files():
        return decoded_video.decode(task)


def no_memory(task):
    """Runs out of memory on a frame of the fourth video."""

    def refused(*_):
        raise MemoryError

    if task.video.endswith("3.mp4"):
        decoded_video.encode_jpeg = refused
    return decoded_video.decode(task)


def no_right(task):
    """Has no permission to read the fourth video, even as root."""
    if not task.video.endswith("3.mp4"):
        return decoded_video.decode(task)
    os.chmod(task.video, 0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        return decoded_video.decode(task)
    finally:
        os.seteuid(user)
        os.chmod(task.video, 0o644)


def unmounted(task):
    """Loses the directory of videos while it decodes the fourth."""
    directory = os.path.dirname(task.video)
    if not task.video.endswith("3.mp4"):
        return decoded_video.decode(task)
    os.rename(directory, directory + " away")
    try:
        return decoded_video.decode(task)
    finally:
        os.rename(directory + " away", directory)


def hiccup(task):
    """Reads a truncated video once, as from a file system that loses its server for a moment."""
    open_video = decoded_video.open_video

    def lost(*_):
        decoded_video.open_video = open_video
        raise DamagedVideoError("3 frames decode, header says 8")

    decoded_video.open_video = lost
    return decoded_video.decode(task)
