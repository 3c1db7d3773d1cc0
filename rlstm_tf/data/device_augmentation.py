"""Augments training frames on the device, at the start of a training step.

Results of each function differ by at most one level of 255 from the one in `augmentation`: OpenCV
computes in fixed point, the device in float32. Color jitter can enlarge what the crops differ by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from rlstm_tf.data import augmentation
from rlstm_tf.data.batches import Batch
from rlstm_tf.data.input_config import InputConfig


def make_preprocess(config: InputConfig) -> Callable[[Batch], Any]:
    """Returns a function from a batch to what the network gets.

    With augmentation on the host and without mixup, that is the batch's `frames` themselves.

    Args:
        config: batch options of `batches.training_rows`.
    """

    def preprocess(batch: Batch) -> Any:
        frames = batch["frames"]
        if config.augment_on == "device":
            frames = crop(frames, batch["box"], batch["flip"], config)
            if config.color_jitter:
                frames = change_colors(frames, batch["colors"])
            if config.random_erasing:
                frames = erase(frames, batch["erased"])
        return mix(frames, batch["share"]) if config.mixup else frames

    return preprocess


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


def change_colors(frames: Any, colors: Any) -> tf.Tensor:
    """Changes the colors of each clip, like `augmentation.change_colors`.

    Args:
        frames: uint8 [R, T, S, S, 3], RGB.
        colors: float32 [R, 3, 4], the `augmentation.color_map` of each row.

    Returns:
        uint8 [R, T, S, S, 3].
    """
    pixels = tf.einsum("rtyxc,rdc->rtyxd", tf.cast(frames, tf.float32), colors[..., :3])
    pixels += colors[:, None, None, None, :, 3]
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)


def erase(frames: Any, boxes: Any) -> tf.Tensor:
    """Erases a rectangle of each clip, like `augmentation.erase`.

    Args:
        frames: uint8 [R, T, S, S, C].
        boxes: int32 [R, 4], the `Box` of each row.

    Returns:
        uint8 [R, T, S, S, C].
    """
    x, y, width, height = (value[:, None] for value in tf.unstack(boxes, axis=1))
    place = tf.range(frames.shape[2])
    inside_x, inside_y = (place >= x) & (place < x + width), (place >= y) & (place < y + height)
    inside = inside_y[:, None, :, None, None] & inside_x[:, None, None, :, None]
    return tf.where(inside, tf.constant(augmentation.ERASED, tf.uint8), frames)


def mix(inputs: Any, shares: Any) -> tf.Tensor:
    """Mixes rows in pairs (0 and 1, 2 and 3, ...): share * itself + (1 - share) * the other.

    Their order is random already. In pairs of neighbors, a batch gives the same on any number of
    replicas and in any number of micro-batches, as long as each has an even number of rows.

    Args:
        inputs: [R, ...], R even: frames of any stream, or maps.
        shares: float32 [R], 0..1.

    Returns:
        [R, ...] of the type of `inputs`; whole numbers are rounded.
    """
    inputs = tf.convert_to_tensor(inputs)
    own = tf.cast(inputs, tf.float32)
    shares = tf.reshape(shares, (-1, *[1] * (len(inputs.shape) - 1)))
    mixed = shares * own + (1 - shares) * swap_pairs(own)
    return tf.cast(tf.round(mixed) if inputs.dtype.is_integer else mixed, inputs.dtype)


def swap_pairs(rows: Any) -> tf.Tensor:
    """Swaps rows 0 and 1, 2 and 3, ...: [R, ...], R even."""
    shape = rows.shape[1:]
    return tf.reshape(tf.reverse(tf.reshape(rows, (-1, 2, *shape)), [1]), (-1, *shape))
