"""Remote videos are copied to a local disk, shortly before they are decoded there."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import copy, is_remote
from tfrecords_tools.builder.decoded_video import Task


def fetched(tasks: Iterable[Task], ahead: int) -> Generator[Task, None, None]:
    """The tasks in order; a video that is remote is copied beside its piece, and read there.

    Decoders then need no TensorFlow, seek without waiting, and see the same file as if it had been
    local all along. Close it where it is not used to its end: it has threads, and Python's
    collector may come for them just where they cannot be waited for.

    Args:
        tasks: as planned.
        ahead: how many are copied at once, before they are asked for.

    Raises:
        DataError: a video cannot be copied. That is no damaged video.
    """
    coming: deque[Future[Task]] = deque()
    with ThreadPoolExecutor(ahead) as threads:
        try:
            for task in tasks:
                coming.append(threads.submit(_local, task))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def discard(task: Task) -> None:
    """Deletes the copy that a task was given, if it was given one."""
    if task.video == _copy_of(task):
        with contextlib.suppress(FileNotFoundError):
            os.remove(task.video)


def _local(task: Task) -> Task:
    if task.stored or not is_remote(task.video):
        return task
    local = _copy_of(task)
    try:
        copy(task.video, local)
    except OSError as error:
        # Half a video may be what fills the disk.
        with contextlib.suppress(OSError):
            os.remove(local)
        raise DataError(f"cannot copy {task.video} to {local}: {error.strerror}") from None
    return replace(task, video=local)


def _copy_of(task: Task) -> str:
    # The end of a name helps FFmpeg to tell what a file is.
    return f"{task.piece}.video{os.path.splitext(task.video)[1]}"
