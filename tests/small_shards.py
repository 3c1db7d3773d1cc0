"""Directories of shards whose frames say which they are, for the tests of the input."""

from __future__ import annotations

import cv2
import numpy as np

from rlstm_tf.data import schema
from tfrecords_tools import record

CLASSES = ("approach", "recede", "swap")
HEIGHT, WIDTH = 40, 48


def jpeg(video: int, frame: int, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """A frame of one colour: red is 20 times the video's number, green 10 times the frame's."""
    image = np.full((height, width, 3), (20 * video % 256, 10 * frame % 256, 99), np.uint8)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_shards(
    directory, lengths, labels=None, ids=None, subset="train", num_shards=2, frames_per_record=512
):
    """Writes videos of these lengths, in turn to each shard; returns the manifest.

    Video v of the call has id `v<v>`, label v % 3 and the frames `jpeg(v, 0)`, ...
    """
    labels = [video % len(CLASSES) for video in range(len(lengths))] if labels is None else labels
    ids = [f"v{video}" for video in range(len(lengths))] if ids is None else ids
    directory.mkdir(exist_ok=True)
    shards = []
    for index in range(num_shards):
        videos = [
            (
                record.Context(ids[v], labels[v], "name", 25.0, HEIGHT, WIDTH, lengths[v]),
                [jpeg(v, frame) for frame in range(lengths[v])],
            )
            for v in range(index, len(lengths), num_shards)
        ]
        name = schema.shard_name(subset, index, num_shards)
        shards.append(record.write_shard(str(directory), name, videos, frames_per_record))
    manifest = schema.Manifest(
        dataset="folder",
        split=0,
        stream="spatial",
        classes=CLASSES,
        settings={},
        subsets={subset: schema.Subset(len(lengths), sum(lengths), tuple(shards))},
    )
    manifest.save(str(directory))
    return manifest


def flip_byte(path, position):
    """Inverts one byte of a file."""
    with open(path, "r+b") as file:
        file.seek(position)
        value = file.read(1)[0]
        file.seek(position)
        file.write(bytes([value ^ 0xFF]))
