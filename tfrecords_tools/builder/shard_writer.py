"""Writes a shard: TFRecords of JPEG frames, and an index of every frame in them."""

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
from rlstm_tf.data.manifest import Shard
from rlstm_tf.storage.atomic import PARTIAL
from rlstm_tf.storage.creation import create_file, write_new

FRAMES_PER_RECORD = 512
# A record ends before its frames exceed this size: Protobuf refuses messages of 2 GB, and a record
# is built in memory.
RECORD_BYTES = 32 << 20


class Sample(NamedTuple):
    """A label of a video and its frames.

    Attributes:
        label: index into the class list.
        class_name: name of the label.
        first_frame: number in the video.
        num_frames: 0 means that the video has the label but no frames to train on.
    """

    label: int
    class_name: str
    first_frame: int
    num_frames: int


@dataclass(frozen=True)
class Context:
    """Values that all records of a video share.

    Attributes:
        id: unique in the data set.
        samples: one label for the whole video, or any number of intervals.
        fps: average frames per second of the video, 0 if unknown.
        height, width: pixels of a JPEG frame; of a flow field in the temporal stream.
        num_frames: number of frames in the whole video, at least 1.
    """

    id: str
    samples: tuple[Sample, ...]
    fps: float
    height: int
    width: int
    num_frames: int


def write_shard(
    directory: str,
    name: str,
    videos: Iterable[tuple[Context, Iterable[bytes]]],
    frames_per_record: int = FRAMES_PER_RECORD,
    scratch: str | None = None,
) -> Shard:
    """Writes a shard and its index; the files appear in `directory` once all are complete.

    Args:
        directory: receives the four files; existing ones are replaced.
        name: name of the shard, without a suffix.
        videos: context and JPEG files, in order, of each video. At most one record is held in
            memory.
        frames_per_record: maximum; records of large frames hold fewer.
        scratch: directory on the same disk for the unfinished files; None means `directory`.

    Returns:
        The shard's entry in the manifest.

    Raises:
        DataError: a link has the name of an unfinished file.
        OSError: the files cannot be written.
    """
    scratch = scratch or directory
    targets = schema.shard_paths(directory, name)
    partial = [os.path.join(scratch, os.path.basename(path) + PARTIAL) for path in targets]
    create_file(partial[0]).close()  # TensorFlow would follow a link
    try:
        records, frames, samples, num_videos = _write_records(partial[0], videos, frames_per_record)
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        # The message is the path of the partial file, then the reason.
        reason = error.message.rpartition("; ")[2]
        raise OSError(errno.ENOSPC if full else errno.EIO, reason) from None
    for path, rows in zip(partial[1:], (records, frames, samples)):
        content = io.BytesIO()
        np.save(content, rows, allow_pickle=False)
        write_new(path, content.getvalue())
    size = os.path.getsize(partial[0])
    checksums = [_sync_and_hash(path) for path in partial]
    for path, target in zip(partial, targets):
        os.replace(path, target)
    num_samples = int((samples["num_frames"] > 0).sum())
    return Shard(name, len(records), num_videos, len(frames), num_samples, size, *checksums)


def _write_records(
    path: str, videos: Iterable[tuple[Context, Iterable[bytes]]], frames_per_record: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Writes the .tfrecord file; returns the three indexes and the number of videos."""
    records: list[tuple[bytes | float, ...]] = []
    frames = [np.empty(0, schema.FRAME)]
    samples: list[tuple[int, int, int, int]] = []
    position = num_videos = num_frames = 0
    with tf.io.TFRecordWriter(path) as writer:
        for context, jpegs in videos:
            samples += [
                (num_videos, sample.label, sample.first_frame, sample.num_frames)
                for sample in context.samples
            ]
            num_videos += 1
            first = 0
            for batch in _split_into_records(jpegs, frames_per_record):
                message = _serialize(context, first, batch)
                writer.write(message)
                row = context.id.encode(), first, len(batch), num_frames
                records.append((*row, context.fps, context.height, context.width))
                frames.append(_locate_frames(message, batch, position + schema.RECORD_HEAD))
                position += schema.RECORD_HEAD + len(message) + schema.RECORD_TAIL
                first += len(batch)
                num_frames += len(batch)
            if first != context.num_frames:
                raise ValueError(f"{context.id}: {first} frames, expected {context.num_frames}")
    id_bytes = max((len(row[0]) for row in records if isinstance(row[0], bytes)), default=1)
    return (
        np.array(records, schema.record_dtype(id_bytes)),
        np.concatenate(frames),
        np.array(samples, schema.SAMPLE),
        num_videos,
    )


def _split_into_records(jpegs: Iterable[bytes], frames_per_record: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for jpeg in jpegs:
        if batch and (len(batch) == frames_per_record or size + len(jpeg) > RECORD_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(jpeg)
        size += len(jpeg)
    if batch:
        yield batch


def _serialize(context: Context, first_frame: int, jpegs: list[bytes]) -> bytes:
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
    # Otherwise maps serialize in any order, and a repeated build must give the same bytes.
    return example.SerializeToString(deterministic=True)


def _locate_frames(message: bytes, jpegs: list[bytes], start: int) -> np.ndarray:
    """Returns rows of `schema.FRAME` for a message at byte `start` of its file."""
    rows = []
    position = 0
    for jpeg in jpegs:
        # Only a few bytes of lengths lie between two frames. Ten times as fast as bytes.index,
        # which preprocesses the whole JPEG.
        candidates = range(position, len(message))
        position = next(at for at in candidates if message.startswith(jpeg, at))
        rows.append((start + position, len(jpeg), zlib.crc32(jpeg)))
        position += len(jpeg)
    return np.array(rows, schema.FRAME)


def _sync_and_hash(path: str) -> str:
    """Syncs a file to disk; returns its sha256 in hexadecimal."""
    checksum = hashlib.sha256()
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest()
