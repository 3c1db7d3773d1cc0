"""Prepares frames of one fixed size, with operations that phones and browsers have.

The result is that of `rlstm_tf.serving.preprocessing.resize_and_crop`: area averaging when a frame
shrinks, bilinear when it grows, cropped to the center. Each row of the result is a weighted sum of
a few rows of the frame; then the same for columns. So neither an operation for resizing by area is
needed, which LiteRT lacks, nor a matrix product, whose weights a quantization would round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rlstm_tf.errors import UsageError
from rlstm_tf.serving.fixed_metadata import FrameSize
from rlstm_tf.serving.preprocessing import MAX_ASPECT, MAX_PIXELS


class Taps(NamedTuple):
    """Which pixels of a row or column each pixel of the result is made of.

    Attributes:
        numbers: int32 [size, K], numbers of the pixels.
        weights: float32 [size, K]; those of a pixel of the result add up to 1.
    """

    numbers: np.ndarray
    weights: np.ndarray


def make_preparation(
    size: FrameSize, image_size: int, short_side: int, resize: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Makes a function that resizes frames and crops them to the center, as an evaluation does.

    Args:
        size: of the frames.
        image_size: S, pixels.
        short_side: short side of the training records, pixels, at least S.
        resize: False refuses frames that would be resized, for flow.

    Returns:
        Function from uint8 `[N, *size, C]` to uint8 `[N, S, S, C]`.

    Raises:
        UsageError: frames of this size cannot be prepared.
    """
    S, short, long = image_size, min(size), max(size)
    if short < 1 or short * long > MAX_PIXELS or long > MAX_ASPECT * short:
        raise UsageError(
            f"frames of {size}: a frame may have 1 to {MAX_PIXELS} pixels, and a long side of up "
            f"to {MAX_ASPECT} times its short one"
        )
    if size == (S, S):
        return lambda frames: frames
    if short == short_side:
        top, left = ((side - S) // 2 for side in size)
        return lambda frames: frames[:, top : top + S, left : left + S]
    if not resize:
        raise UsageError(
            f"frames of {size}: flow is of frames with a short side of {short_side} pixels, or of "
            f"their center of {S}x{S}"
        )
    long_side = (2 * long * short_side + short) // (2 * short)
    target = (short_side, long_side) if size.width >= size.height else (long_side, short_side)
    is_smaller = size.height > target[0]
    rows, columns = (make_taps(*sides, S, is_smaller) for sides in zip(size, target))

    def prepare(frames: tf.Tensor) -> tf.Tensor:
        frames = _combine(tf.cast(frames, tf.float32), rows, axis=1)
        frames = _combine(frames, columns, axis=2)
        return tf.cast(tf.floor(frames + 0.5), tf.uint8)

    return prepare


def make_taps(length: int, resized: int, size: int, is_smaller: bool) -> Taps:
    """Resizes one axis, and crops it to its center.

    Args:
        length: pixels of the frame.
        resized: pixels after resizing.
        size: pixels after the crop.
        is_smaller: average over the area; False: bilinear.
    """
    scale = length / resized
    kept = (resized - size) // 2 + np.arange(size)
    if is_smaller:
        numbers = np.floor(kept * scale)[:, None] + np.arange(int(np.ceil(scale)) + 1)
        start, end = kept[:, None] * scale, (kept[:, None] + 1) * scale
        weights = np.minimum(numbers + 1, end) - np.maximum(numbers, start)
    else:
        center = (kept + 0.5) * scale - 0.5
        numbers = np.floor(center)[:, None] + np.arange(2)
        weights = 1 - np.abs(numbers - center[:, None])
    weights = np.maximum(weights, 0)
    # The pixels at the border are repeated; those without a weight may lie outside too.
    numbers = np.clip(numbers, 0, length - 1).astype(np.int32)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    used = weights.any(axis=0)
    return Taps(numbers[:, used], weights[:, used])


def _combine(frames: tf.Tensor, taps: Taps, axis: int) -> tf.Tensor:
    """Sums the weighted pixels of `[N, H, W, C]` along axis 1 or 2."""
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    return tf.add_n(
        [
            tf.gather(frames, numbers, axis=axis) * tf.reshape(weights, shape)
            for numbers, weights in zip(taps.numbers.T, taps.weights.T)
        ]
    )
