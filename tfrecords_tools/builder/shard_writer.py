"""Videos, as JPEG frames -> a shard: TFRecords, and where every frame lies in them."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rlstm_tf.data import schema
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import PARTIAL

FRAMES_PER_RECORD = 512
# Protobuf refuses messages of 2 GB, and a record is built in memory: a record ends before its
# frames pass this many bytes, however few they are.
RECORD_BYTES = 32 << 20


class Sample(NamedTuple):
    """A label of a video, and the frames it holds for.

    Attributes:
        label: position in the class list.
        class_name: the class list's name for it.
        first_frame: number in the video.
        num_frames: 0 = the video has the label, but there is nothing to train on.
    """

    label: int
    class_name: str
    first_frame: int
    num_frames: int


@dataclass(frozen=True)
class Context:
    """What all records of one video say.

    Attributes:
        id: unique in the data set.
        samples: its labels; one label for all of it, or any number of intervals.
        fps: average frames per second of the video, 0 = unknown.
        height, width: pixels of the JPEG frames; of the flow field in the temporal stream.
        num_frames: frames in the whole video, at least 1.

    Raises:
        DataError: a label is negative.
    """

    id: str
    samples: tuple[Sample, ...]
    fps: float
    height: int
    width: int
    num_frames: int

    def __post_init__(self) -> None:
        for sample in self.samples:
            if sample.label < 0:
                raise DataError(f"video {self.id!r} has label {sample.label}, the first class is 0")


def write_shard(
    directory: str,
    name: str,
    videos: Iterable[tuple[Context, Iterable[bytes]]],
    frames_per_record: int = FRAMES_PER_RECORD,
    scratch: str | None = None,
) -> schema.Shard:
    """Writes a shard and its index; they appear in `directory` when all of it is on disk.

    Args:
        directory: where the four files go; what they held is replaced.
        name: of the shard, without a suffix.
        videos: of each, its context and its JPEG files in order. No more than one record is held
            in memory.
        frames_per_record: most frames in one record; records of large frames hold fewer.
        scratch: directory on the same disk for the files while they grow; None = `directory`.

    Returns:
        The shard's line of the manifest.

    Raises:
        OSError: the files cannot be written.
        DataError: a label goes by two class names.
    """
    scratch = scratch or directory
    targets = schema.shard_paths(directory, name)
    partial = [os.path.join(scratch, os.path.basename(path) + PARTIAL) for path in targets]
    try:
        records, frames, samples, num_videos = _write_records(partial[0], videos, frames_per_record)
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        # The message is the path of the partial file, and what is wrong with it.
        reason = error.message.rpartition("; ")[2]
        raise OSError(errno.ENOSPC if full else errno.EIO, reason) from None
    for path, rows in zip(partial[1:], (records, frames, samples)):
        content = io.BytesIO()
        np.save(content, rows, allow_pickle=False)
        with open(path, "wb") as file:
            file.write(content.getvalue())
    size = os.path.getsize(partial[0])
    checksums = [_flushed_sha256(path) for path in partial]
    for path, target in zip(partial, targets):
        os.replace(path, target)
    trained = int((samples["num_frames"] > 0).sum())
    return schema.Shard(name, len(records), num_videos, len(frames), trained, size, *checksums)


def _write_records(
    path: str, videos: Iterable[tuple[Context, Iterable[bytes]]], frames_per_record: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Writes the .tfrecord file; returns its indexes and the number of videos."""
    records: list[tuple[bytes | float, ...]] = []
    frames = [np.empty(0, schema.FRAME)]
    samples: list[tuple[int, int, int, int]] = []
    class_names: dict[int, str] = {}
    position = num_videos = num_frames = 0
    with tf.io.TFRecordWriter(path) as writer:
        for context, jpegs in videos:
            _check_names(context, class_names)
            samples += [
                (num_videos, sample.label, sample.first_frame, sample.num_frames)
                for sample in context.samples
            ]
            num_videos += 1
            first = 0
            for part in _parts(jpegs, frames_per_record):
                message = _message(context, first, part)
                writer.write(message)
                row = context.id.encode(), first, len(part), num_frames
                records.append((*row, context.fps, context.height, context.width))
                frames.append(_located(message, part, position + schema.RECORD_HEAD))
                position += schema.RECORD_HEAD + len(message) + schema.RECORD_TAIL
                first += len(part)
                num_frames += len(part)
            if first != context.num_frames:
                raise ValueError(f"{context.id}: {first} frames, said to be {context.num_frames}")
    id_bytes = max((len(row[0]) for row in records if isinstance(row[0], bytes)), default=1)
    return (
        np.array(records, schema.record_dtype(id_bytes)),
        np.concatenate(frames),
        np.array(samples, schema.SAMPLE),
        num_videos,
    )


def _check_names(context: Context, class_names: dict[int, str]) -> None:
    """Collects the class names of labels; there is one class list."""
    for sample in context.samples:
        name = class_names.setdefault(sample.label, sample.class_name)
        if name != sample.class_name:
            raise DataError(
                f"video {context.id!r} calls label {sample.label} {sample.class_name!r}, "
                f"a video before it {name!r}"
            )


def _parts(jpegs: Iterable[bytes], frames_per_record: int) -> Iterator[list[bytes]]:
    """The frames of one record after the other."""
    part: list[bytes] = []
    size = 0
    for jpeg in jpegs:
        if part and (len(part) == frames_per_record or size + len(jpeg) > RECORD_BYTES):
            yield part
            part, size = [], 0
        part.append(jpeg)
        size += len(jpeg)
    if part:
        yield part


def _message(context: Context, first_frame: int, jpegs: list[bytes]) -> bytes:
    example = tf.train.SequenceExample()
    feature = example.context.feature
    feature[schema.ID].bytes_list.value.append(context.id.encode())
    for sample in context.samples:
        feature[schema.LABEL].int64_list.value.append(sample.label)
        feature[schema.CLASS_NAME].bytes_list.value.append(sample.class_name.encode())
        feature[schema.LABEL_FIRST_FRAME].int64_list.value.append(sample.first_frame)
        feature[schema.LABEL_NUM_FRAMES].int64_list.value.append(sample.num_frames)
    feature[schema.FPS].float_list.value.append(context.fps)
    feature[schema.HEIGHT].int64_list.value.append(context.height)
    feature[schema.WIDTH].int64_list.value.append(context.width)
    feature[schema.NUM_FRAMES].int64_list.value.append(context.num_frames)
    feature[schema.FIRST_FRAME].int64_list.value.append(first_frame)
    frames = example.feature_lists.feature_list[schema.FRAMES].feature
    for jpeg in jpegs:
        frames.add().bytes_list.value.append(jpeg)
    # Maps serialize in any order otherwise, and a build run twice must give the same bytes.
    return example.SerializeToString(deterministic=True)


def _located(message: bytes, jpegs: list[bytes], start: int) -> np.ndarray:
    """Rows of `schema.FRAME` for a message that starts at byte `start` of its file."""
    rows = []
    found = 0
    for jpeg in jpegs:
        # Only a few bytes of lengths lie between two frames: ten times as fast as bytes.index,
        # which studies the whole JPEG before it looks.
        places = range(found, len(message))
        found = next(place for place in places if message.startswith(jpeg, place))
        rows.append((start + found, len(jpeg), zlib.crc32(jpeg)))
        found += len(jpeg)
    return np.array(rows, schema.FRAME)


def _flushed_sha256(path: str) -> str:
    """Forces a file to disk; returns its checksum in hexadecimal."""
    checksum = hashlib.sha256()
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()
