"""One video's frames -> its TFRecords, with the place of every frame in the file."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from rlstm_tf.data import schema

# Protobuf refuses messages of 2 GB and a record is built in memory: a record ends before its
# frames pass this many bytes, however few they are.
RECORD_BYTES = 32 << 20
# A video of up to this many bytes of JPEG waits in memory, a longer one on disk.
_SPOOL_BYTES = 64 << 20


@dataclass(frozen=True)
class Context:
    """What all records of one video say.

    Attributes:
        id: unique in the data set.
        label: position in the class list.
        class_name: the class list's name for it.
        fps: average frames per second of the video, 0 = unknown.
        height, width: pixels of the JPEG frames.
    """

    id: str
    label: int
    class_name: str
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class Rows:
    """Index of some consecutive records.

    Attributes:
        records: rows of `schema.record_dtype`.
        frames: rows of `schema.FRAME`; offsets count from the start of the file the records
            were written to, `first_row` from the first of these rows.
    """

    records: np.ndarray
    frames: np.ndarray


def write_video(
    path: str, context: Context, frames: Iterable[bytes], frames_per_record: int, spool: str
) -> Rows:
    """Writes a video as a TFRecord file of its own.

    Every record names the number of frames of the whole video, which is known when the last one
    has been decoded: until then the frames wait in a temporary file (in memory while they are few).

    Args:
        path: file to write; what it held is replaced.
        context: see there.
        frames: JPEG files in order, at least one. What this raises is raised here.
        frames_per_record: most frames in one record; records of large frames hold fewer.
        spool: directory for the temporary file.

    Returns:
        The index of the file.

    Raises:
        OSError, tf.errors.OpError: the file cannot be written.
    """
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES, dir=spool) as waiting:
        sizes = []
        for frame in frames:
            waiting.write(frame)
            sizes.append(len(frame))
        waiting.seek(0)
        id_bytes = context.id.encode()
        records = []
        frame_rows = np.zeros(len(sizes), schema.FRAME)
        position = 0
        with tf.io.TFRecordWriter(path) as writer:
            for first, count in _parts(sizes, frames_per_record):
                jpegs = [waiting.read(size) for size in sizes[first : first + count]]
                message = _message(context, len(sizes), first, jpegs)
                writer.write(message)
                _locate(message, jpegs, position, frame_rows[first : first + count])
                position += schema.RECORD_HEAD + len(message) + schema.RECORD_TAIL
                records.append(
                    (id_bytes, context.label, first, count, first)
                    + (context.fps, context.height, context.width)
                )
    return Rows(np.array(records, schema.record_dtype(len(id_bytes))), frame_rows)


def _parts(sizes: list[int], frames_per_record: int) -> Iterator[tuple[int, int]]:
    """First frame and number of frames of each record."""
    first, size_so_far = 0, 0
    for number, size in enumerate(sizes):
        count = number - first
        if count and (count == frames_per_record or size_so_far + size > RECORD_BYTES):
            yield first, count
            first, size_so_far = number, 0
        size_so_far += size
    yield first, len(sizes) - first


def _message(context: Context, num_frames: int, first_frame: int, jpegs: list[bytes]) -> bytes:
    example = tf.train.SequenceExample()
    feature = example.context.feature
    feature[schema.ID].bytes_list.value.append(context.id.encode())
    feature[schema.LABEL].int64_list.value.append(context.label)
    feature[schema.CLASS_NAME].bytes_list.value.append(context.class_name.encode())
    feature[schema.FPS].float_list.value.append(context.fps)
    feature[schema.HEIGHT].int64_list.value.append(context.height)
    feature[schema.WIDTH].int64_list.value.append(context.width)
    feature[schema.NUM_FRAMES].int64_list.value.append(num_frames)
    feature[schema.FIRST_FRAME].int64_list.value.append(first_frame)
    frames = example.feature_lists.feature_list[schema.FRAMES].feature
    for jpeg in jpegs:
        frames.add().bytes_list.value.append(jpeg)
    # Maps serialize in any order otherwise, and a build run twice must give the same bytes.
    return example.SerializeToString(deterministic=True)


def _locate(message: bytes, jpegs: list[bytes], position: int, rows: np.ndarray) -> None:
    """Fills `rows` for the frames of a record that begins at `position` of its file."""
    found = 0
    for row, jpeg in enumerate(jpegs):
        found = message.index(jpeg, found)
        rows[row] = (position + schema.RECORD_HEAD + found, len(jpeg), zlib.crc32(jpeg))
        found += len(jpeg)
