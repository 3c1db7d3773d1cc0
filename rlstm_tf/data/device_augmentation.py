"""Training crops cut out, resized and mirrored by the device, as the first part of a step.

The same as `augmentation.crop_and_resize` and `crop_flow`, which are OpenCV's, to one level of 255:
OpenCV works in whole numbers, the device in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import tensorflow as tf

from rlstm_tf.data.batches import Batch
from rlstm_tf.data.input_config import InputConfig


def make_preprocess(config: InputConfig) -> Callable[[Batch], Any]:
    """What makes a network's frames, uint8 [R, T, S, S, C], of a batch of `batches.training_rows`.

    Args:
        config: of the batches.
    """
    if config.augment_on == "host":
        return itemgetter("frames")
    return lambda batch: crop(batch["frames"], batch["box"], batch["flip"], config)


def crop(frames: Any, boxes: Any, flips: Any, config: InputConfig) -> tf.Tensor:
    """Cuts a box out of whole frames, resizes it (bilinear), and mirrors it where that is asked.

    Args:
        frames: uint8, R of `batches.training_shape`.
        boxes: int32 [R, 4], a `Box` each. Nothing outside of it counts.
        flips: bool [R]; negates x of flow.
        config: of the frames.

    Returns:
        uint8 [R, T, S, S, C].
    """
    temporal = config.stream == "temporal"
    # [R, images, H, W, channels], x and y of flow an image each.
    frames = tf.convert_to_tensor(frames)
    images = tf.reshape(frames, _images_shape(frames.shape, temporal))
    x, y, width, height = tf.unstack(tf.convert_to_tensor(boxes), axis=1)
    # TensorFlow picks no bytes on a GPU.
    part = _resized(tf.cast(images, tf.float32), y, height, config.image_size, 2)
    part = _resized(part, x, width, config.image_size, 3, tf.convert_to_tensor(flips))
    part = tf.round(part)
    if temporal:
        part = tf.reshape(
            part, (-1, *config.video_shape[:1], config.new_length, 2, *part.shape[2:4])
        )
        # As `flow.negate`.
        negated = tf.minimum(256 - part[:, :, :, :1], 255)
        negated = tf.concat([negated, part[:, :, :, 1:]], axis=3)
        part = tf.where(tf.reshape(flips, (-1, 1, 1, 1, 1, 1)), negated, part)
        part = tf.reshape(part, (-1, config.num_segments, config.channels, *part.shape[4:]))
        part = tf.transpose(part, (0, 1, 3, 4, 2))
    return tf.cast(part, tf.uint8)


def _images_shape(shape: Any, temporal: bool) -> tuple[int, ...]:
    """Of [R, T, H, W, 3] or [R, T, L, 2, H, W]."""
    if temporal:
        return (-1, shape[1] * shape[2] * 2, *shape[4:], 1)
    return (-1, *shape[1:])


def _resized(
    images: Any, first: Any, length: Any, size: int, axis: int, reverse: Any = None
) -> tf.Tensor:
    """Resizes the pixels `first`, `first` + 1, ..., `length` of them, of an axis, one row each.

    Pixels are areas: the centre of the result's pixel s is at (s + 0.5) length / size - 0.5.
    """
    share = (tf.range(size, dtype=tf.float32) + 0.5) / size
    span = tf.cast(length, tf.float32)[:, None]
    place = tf.clip_by_value(share * span - 0.5, 0.0, span - 1)
    if reverse is not None:
        place = tf.where(reverse[:, None], place[:, ::-1], place)
    below = tf.floor(place)
    index = tf.cast(below, tf.int32)
    low, high = (
        tf.gather(images, first[:, None] + at, axis=axis, batch_dims=1)
        for at in (index, tf.minimum(index + 1, length[:, None] - 1))
    )
    shape = [1] * len(images.shape)
    shape[0], shape[axis] = -1, size
    return low + (high - low) * tf.reshape(place - below, shape)
