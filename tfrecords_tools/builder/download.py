"""Downloads remote videos to the local disk shortly before they are decoded."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.data.schema import join
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import copy, is_directory, is_remote
from tfrecords_tools.builder.decoded_video import DecodeTask


def download_ahead(tasks: Iterable[DecodeTask], count: int) -> Generator[DecodeTask, None, None]:
    """Yields the tasks in order; a remote video is replaced by a local copy.

    Decoders then need no TensorFlow, seek without delay, and read the same bytes as from a local
    file. Close the generator if you do not exhaust it: its threads cannot be joined by Python's
    garbage collector.

    Args:
        tasks: tasks with local or remote videos.
        count: number of videos to download at once, ahead of use.

    Raises:
        DataError: a video cannot be copied, which does not make it a damaged one.
    """
    downloads: deque[Future[DecodeTask]] = deque()
    with ThreadPoolExecutor(count) as threads:
        try:
            for task in tasks:
                downloads.append(threads.submit(_download, task))
                if len(downloads) > count:
                    yield downloads.popleft().result()
            while downloads:
                yield downloads.popleft().result()
        finally:
            for future in downloads:
                future.cancel()


def delete_download(task: DecodeTask) -> None:
    """Deletes the local copy of a task's video, if it has one."""
    if task.video == _copy_path(task):
        _delete(task.video)


def _download(task: DecodeTask) -> DecodeTask:
    if task.stored or not is_remote(task.video):
        return task
    local = _copy_path(task)
    try:
        if is_directory(task.video):
            os.makedirs(local, exist_ok=True)
            for name in picture_sizes(task.video):
                copy(join(task.video, name), os.path.join(local, name))
        else:
            copy(task.video, local)
    except OSError as error:
        # A partial copy may be what fills the disk.
        with contextlib.suppress(OSError):
            _delete(local)
        raise DataError(f"cannot copy {task.video} to {local}: {error.strerror}") from None
    return replace(task, video=local)


def _delete(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def _copy_path(task: DecodeTask) -> str:
    # The suffix helps FFmpeg to detect the format.
    return f"{task.target}.video{os.path.splitext(task.video)[1]}"
