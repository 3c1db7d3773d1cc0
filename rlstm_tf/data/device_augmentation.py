"""Crops, resizes and flips training frames on the device, at the start of a training step.

Results differ by at most one level of 255 from `augmentation.crop_and_resize` and `crop_flow`:
OpenCV computes in fixed point, the device in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import tensorflow as tf

from rlstm_tf.data.batches import Batch
from rlstm_tf.data.input_config import InputConfig


def make_preprocess(config: InputConfig) -> Callable[[Batch], Any]:
    """Returns a function from a batch (`batches.training_rows`) to frames uint8 [R, T, S, S, C]."""
    if config.augment_on == "host":
        return itemgetter("frames")
    return lambda batch: crop(batch["frames"], batch["box"], batch["flip"], config)


def crop(frames: Any, boxes: Any, flips: Any, config: InputConfig) -> tf.Tensor:
    """Crops frames, resizes them (bilinear) to squares and flips some of them.

    Args:
        frames: uint8 [R, *batches.training_shape].
        boxes: int32 [R, 4], the `Box` of each row; pixels outside have no effect.
        flips: bool [R], rows to mirror left and right; also negates x of flow.
        config: batch options.

    Returns:
        uint8 [R, T, S, S, C].
    """
    temporal = config.stream == "temporal"
    # [R, images, H, W, channels]; x and y of flow are separate images.
    frames = tf.convert_to_tensor(frames)
    images = tf.reshape(frames, _images_shape(frames.shape, temporal))
    x, y, width, height = tf.unstack(tf.convert_to_tensor(boxes), axis=1)
    # TensorFlow cannot gather bytes on a GPU.
    crops = _crop_axis(tf.cast(images, tf.float32), y, height, config.image_size, 2)
    crops = _crop_axis(crops, x, width, config.image_size, 3, tf.convert_to_tensor(flips))
    crops = tf.round(crops)
    if temporal:
        crops = tf.reshape(
            crops, (-1, *config.video_shape[:1], config.new_length, 2, *crops.shape[2:4])
        )
        # Like `flow.negate`.
        negated = tf.minimum(256 - crops[:, :, :, :1], 255)
        negated = tf.concat([negated, crops[:, :, :, 1:]], axis=3)
        crops = tf.where(tf.reshape(flips, (-1, 1, 1, 1, 1, 1)), negated, crops)
        crops = tf.reshape(crops, (-1, config.num_segments, config.channels, *crops.shape[4:]))
        crops = tf.transpose(crops, (0, 1, 3, 4, 2))
    return tf.cast(crops, tf.uint8)


def _images_shape(shape: Any, temporal: bool) -> tuple[int, ...]:
    """Returns a shape with one axis for all images of a video: `[rows, images, H, W, channels]`.

    Args:
        shape: `[rows, T, H, W, 3]`, or of flow `[rows, T, L, 2, H, W]`, each plane an image.
        temporal: the frames are flow.
    """
    if temporal:
        return (-1, shape[1] * shape[2] * 2, *shape[4:], 1)
    return (-1, *shape[1:])


def _crop_axis(
    images: Any, first: Any, length: Any, size: int, axis: int, reverse: Any = None
) -> tf.Tensor:
    """Resizes `length` pixels of an axis, from `first` on, to `size`; one crop per row.

    Pixels are areas: the center of pixel s of the result is at (s + 0.5) * length / size - 0.5.
    """
    share = (tf.range(size, dtype=tf.float32) + 0.5) / size
    span = tf.cast(length, tf.float32)[:, None]
    center = tf.clip_by_value(share * span - 0.5, 0.0, span - 1)
    if reverse is not None:
        center = tf.where(reverse[:, None], center[:, ::-1], center)
    below = tf.floor(center)
    index = tf.cast(below, tf.int32)
    low, high = (
        tf.gather(images, first[:, None] + pixel, axis=axis, batch_dims=1)
        for pixel in (index, tf.minimum(index + 1, length[:, None] - 1))
    )
    shape = [1] * len(images.shape)
    shape[0], shape[axis] = -1, size
    return low + (high - low) * tf.reshape(center - below, shape)
