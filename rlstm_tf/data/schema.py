"""Format of the shards: the keys and types of records and indexes, and file names.

A directory of shards holds, for every shard of a subset (`train`, `val`, `test`):

    train-00000-of-00004.tfrecord       uncompressed TFRecords of `tf.train.SequenceExample`
    train-00000-of-00004.records.npy    one row per record (`record_dtype`), in file order
    train-00000-of-00004.frames.npy     one row per frame (`FRAME`), in file order
    train-00000-of-00004.samples.npy    one row per labeled interval (`SAMPLE`), in file order

`sources.jsonl`, the record of the video files, and `manifest.json` (`rlstm_tf.data.manifest`),
which is written last: if it exists, the shards are complete. A long video is split into consecutive
records of one shard, with equal ids and ascending `first_frame`.

A training sample is an interval of a video; with one label per video, it is the whole video. In the
temporal stream, "frame" means a flow field, F - 1 for F frames of video. Its JPEG is gray,
2 height x width, x above y (`rlstm_tf.data.flow`).
"""

from __future__ import annotations

import re

import numpy as np

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
# The video files that the shards were built from (`tfrecords_tools.builder.sources`).
SOURCES = "sources.jsonl"

# Context features.
ID = "id"  # bytes, UTF-8
LABEL = "label"  # int64 each, positions in the class list
CLASS_NAME = "class_name"  # bytes each, UTF-8
LABEL_FIRST_FRAME = "label_first_frame"  # int64 each, first frame in the video with the label
LABEL_NUM_FRAMES = "label_num_frames"  # int64 each; 0: the label has no training sample
FPS = "fps"  # float, average frames per second of the video; 0: unknown
HEIGHT = "height"  # int64, pixels of a frame, or of a flow field
WIDTH = "width"  # int64
NUM_FRAMES = "num_frames"  # int64, frames in the whole video
FIRST_FRAME = "first_frame"  # int64, number in the video of this record's first frame
# Feature list.
FRAMES = "frames"  # bytes, one JPEG per frame

# Offset and size of a frame's JPEG in the .tfrecord file (bytes), and its zlib.crc32.
FRAME = np.dtype([("offset", "<u8"), ("size", "<u4"), ("crc32", "<u4")])
# A video (its number in the shard), a label of it, and the frames with the label; 0: no sample.
SAMPLE = np.dtype(
    [("video", "<u4"), ("label", "<i4"), ("first_frame", "<u4"), ("num_frames", "<u4")]
)

# A TFRecord is: length (8 bytes), its checksum (4), the message, its checksum (4).
RECORD_HEAD = 12
RECORD_TAIL = 4

SHARD_NAME = re.compile(r"(train|val|test)-\d{5}-of-\d{5}")


def record_dtype(id_bytes: int) -> np.dtype:
    """Returns the row type of `*.records.npy`, for ids of up to `id_bytes` bytes of UTF-8.

    `num_frames` counts the frames of the record; `first_row` is the row of its first frame in
    `*.frames.npy`.
    """
    return np.dtype(
        [
            ("id", f"S{id_bytes}"),
            ("first_frame", "<u4"),
            ("num_frames", "<u4"),
            ("first_row", "<u8"),
            ("fps", "<f4"),
            ("height", "<u2"),
            ("width", "<u2"),
        ]
    )


def shard_name(subset: str, index: int, count: int) -> str:
    """Returns the name of shard `index` of `count`, without suffix: `train-00000-of-00004`."""
    return f"{subset}-{index:05d}-of-{count:05d}"


def join(directory: str, name: str) -> str:
    """Returns the path of `name` in `directory`, which may be remote (`s3://bucket/shards`)."""
    return directory.rstrip("/") + "/" + name


def tfrecord_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's records."""
    return join(directory, shard + ".tfrecord")


def records_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of records."""
    return join(directory, shard + ".records.npy")


def frames_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of frames."""
    return join(directory, shard + ".frames.npy")


def samples_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of samples."""
    return join(directory, shard + ".samples.npy")


def shard_paths(directory: str, shard: str) -> tuple[str, str, str, str]:
    """Returns the paths of a shard and its three indexes."""
    return (
        tfrecord_path(directory, shard),
        records_path(directory, shard),
        frames_path(directory, shard),
        samples_path(directory, shard),
    )


def shard_of(file_name: str) -> str | None:
    """Returns the name of the shard that a file belongs to; None for any other file."""
    name, _, _ = file_name.partition(".")
    return (
        name
        if SHARD_NAME.fullmatch(name) and join("", file_name) in shard_paths("", name)
        else None
    )
