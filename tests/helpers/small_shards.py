"""Writes shards whose frames tell their video and number."""

from __future__ import annotations

import cv2
import numpy as np

from rlstm_tf.data import flow, schema
from rlstm_tf.data.manifest import Manifest, Subset
from tfrecords_tools.builder import shard_writer

CLASSES = ("approach", "recede", "swap")
HEIGHT, WIDTH = 40, 48


def jpeg(video: int, frame: int, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    """Makes a frame of one color: red is 20 times the video's number, green 10 times its own."""
    image = np.full((height, width, 3), (20 * video % 256, 10 * frame % 256, 99), np.uint8)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def texture_jpeg(video, frame, height=HEIGHT, width=WIDTH):
    """Makes a frame of random texture, for networks, which see little in one color."""
    noise = np.random.default_rng([video, frame]).integers(0, 256, (height // 4, width // 4, 3))
    image = np.kron(noise, np.ones((4, 4, 1))).astype(np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def field_levels(video, frame):
    """Returns levels of x and y: 2 above no motion for each video, 3 below for each frame."""
    return flow.ZERO + 2 * video % 100, flow.ZERO - 3 * frame % 100


def field_jpeg(video, frame, height=HEIGHT, width=WIDTH):
    """Makes a field of one motion, `field_levels`: x above y in one gray image."""
    levels = np.repeat(np.array(field_levels(video, frame), np.uint8), height)
    image = np.repeat(levels[:, None], width, axis=1)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def context(video_id, label, num_frames, height=HEIGHT, width=WIDTH):
    """Makes the context of a video with one label."""
    samples = (shard_writer.Sample(label, CLASSES[label % len(CLASSES)], 0, num_frames),)
    return shard_writer.Context(video_id, samples, 25.0, height, width, num_frames)


def write_shards(
    directory,
    lengths,
    labels=None,
    ids=None,
    subset="train",
    num_shards=2,
    frames_per_record=512,
    stream="spatial",
    actions=None,
    multi_label=False,
    image=None,
):
    """Writes videos of these lengths, in turn to each shard; returns the manifest.

    Video v of the call has id `v<v>`, label v % 3 and the frames `jpeg(v, 0)`, ..., or
    `field_jpeg(v, 0)`, ... `actions` replace the labels: of each video, a list of (label, first
    frame, number of frames). `image` replaces `jpeg`.
    """
    labels = [video % len(CLASSES) for video in range(len(lengths))] if labels is None else labels
    ids = [f"v{video}" for video in range(len(lengths))] if ids is None else ids
    if actions is None:
        actions = [[(label, 0, length)] for label, length in zip(labels, lengths)]
    image = image or {"spatial": jpeg, "temporal": field_jpeg}[stream]
    directory.mkdir(exist_ok=True)
    shards = []
    for index in range(num_shards):
        videos = [
            (
                shard_writer.Context(
                    ids[v],
                    tuple(
                        shard_writer.Sample(label, "name", *place) for label, *place in actions[v]
                    ),
                    *(25.0, HEIGHT, WIDTH, lengths[v]),
                ),
                [image(v, frame) for frame in range(lengths[v])],
            )
            for v in range(index, len(lengths), num_shards)
        ]
        name = schema.shard_name(subset, index, num_shards)
        shards.append(shard_writer.write_shard(str(directory), name, videos, frames_per_record))
    manifest = Manifest(
        dataset="folder",
        split=0,
        stream=stream,
        classes=CLASSES,
        settings={},
        subsets={
            subset: Subset(
                *(len(lengths), sum(lengths), sum(shard.samples for shard in shards)),
                tuple(shards),
            )
        },
        multi_label=multi_label,
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
