"""The work on one portion of a bulk prediction: decodes its videos and answers them in batches."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rlstm_tf.bulk.job import Job, Portion, publish
from rlstm_tf.data.video_views import VideoViews, video_views
from rlstm_tf.errors import DataError, UserError
from rlstm_tf.messages import decode_name
from rlstm_tf.serving.artifact import ModelMetadata
from rlstm_tf.serving.predictor import Prediction, Predictor, read_video
from rlstm_tf.storage.atomic import cannot_write
from rlstm_tf.storage.files import copy, file_sizes, is_remote
from rlstm_tf.worker_pool import Crash, run_tasks


class Answers(NamedTuple):
    """Lines that one portion adds to the output.

    Attributes:
        number: of the portion.
        results, failed: JSON, a line for each video with an answer, and for each without.
    """

    number: int
    results: str
    failed: str


class Task(NamedTuple):
    """A video to decode.

    Attributes:
        position: in its portion, from 0.
        path: local or remote.
        metadata: of the network.
        video_stream: as in `Job`.
    """

    position: int
    path: str
    metadata: ModelMetadata
    video_stream: int | None


def answer(job: Job, portion: Portion, predictor: Predictor) -> Answers:
    """Answers the videos of a portion.

    A portion that was started before, and not finished, may have a video that ends the process
    which decodes it. Its videos are then decoded in another process.

    Args:
        job: values that the portions share.
        portion: which videos.
        predictor: the network.

    Raises:
        DataError: a file of the job cannot be read or written, or the network fails, for example
            for lack of memory.
    """
    started = job.started(portion.number)
    tasks = [
        Task(position, path, predictor.metadata, job.video_stream)
        for position, path in enumerate(job.read(portion))
    ]
    decoded: Iterable[tuple[Task, VideoViews | str | Crash | None]]
    if file_sizes([started]) == [None]:
        publish(started, "")
        decoded = ((task, decode(task)) for task in tasks)
    else:
        decoded = run_tasks(decode, tasks, 1)
    results: dict[int, str] = {}
    failed: dict[int, str] = {}
    batch_size = job.batch_size or predictor.batch_size
    for batch in _in_batches(decoded, batch_size, failed):
        results.update(_predict(predictor, batch, failed))
    # PyAV's frames and their side data hold each other, and Python alone seldom frees such cycles:
    # memory would grow with the number of videos.
    gc.collect()
    return Answers(portion.number, _in_order(results), _in_order(failed))


def decode(task: Task) -> VideoViews | str:
    """Decodes the frames of a video that the network sees; or tells why it cannot be."""
    metadata = task.metadata
    try:
        with _local_copy(task.path) as path:
            return read_video(
                path,
                lambda: video_views(
                    *(path, metadata.record_format, metadata.input_config()),
                    video_stream=task.video_stream,
                ),
            )
    except DataError as error:
        return str(error)


def _in_batches(
    decoded: Iterable[tuple[Task, VideoViews | str | Crash | None]],
    batch_size: int,
    failed: dict[int, str],
) -> Iterator[list[tuple[Task, VideoViews]]]:
    """Collects decoded videos, and notes those that failed."""
    batch: list[tuple[Task, VideoViews]] = []
    for task, found in decoded:
        if isinstance(found, VideoViews):
            batch.append((task, found))
        elif isinstance(found, Crash):
            failed[task.position] = _line(
                task, error=f"{task.path}: ended the process that decoded it, twice: {found}"
            )
        else:
            failed[task.position] = _line(task, error=str(found))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _predict(
    predictor: Predictor, batch: list[tuple[Task, VideoViews]], failed: dict[int, str]
) -> Iterator[tuple[int, str]]:
    """Yields the answers of a batch, and notes the videos whose scores are not finite."""
    frames = np.concatenate([views.frames for _, views in batch])
    outputs = predictor.compute(frames, batch[0][0].path)
    for (task, views), logits, probabilities in zip(batch, *outputs):
        if np.isfinite(logits).all():
            found = Prediction(logits, probabilities, views.numbers[0])
            yield task.position, _line(task, **found.to_json(predictor.metadata.classes))
        else:
            error = f"{task.path}: the network's scores are not finite"
            failed[task.position] = _line(task, error=error)


def _line(task: Task, **values: object) -> str:
    """Formats what `rlstm_tf.predict --json` prints for a video."""
    if "error" in values:
        values["error"] = decode_name(str(values["error"]))
    return json.dumps({"video": decode_name(task.path), **values}, allow_nan=False) + "\n"


def _in_order(lines: dict[int, str]) -> str:
    return "".join(lines[position] for position in sorted(lines))


@contextlib.contextmanager
def _local_copy(path: str) -> Iterator[str]:
    """Yields a local path itself, or a copy of a remote file, deleted at the end.

    Raises:
        DataError: the file cannot be read; it names the remote one.
        UserError: there is no room for the copy. Not a DataError: the video is not to blame.
    """
    if not is_remote(path):
        yield path
        return
    try:
        scratch = tempfile.TemporaryDirectory(prefix="rlstm_tf_")
    except OSError as error:
        raise UserError(str(cannot_write("TMPDIR", error))) from None
    with scratch:
        local = os.path.join(scratch.name, path.rstrip("/").rpartition("/")[2])
        try:
            copy(path, local)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(str(cannot_write(local, error))) from None
            raise DataError(f"{path}: {error.strerror}") from None
        try:
            yield local
        except DataError as error:
            raise DataError(str(error).replace(local, path)) from None
