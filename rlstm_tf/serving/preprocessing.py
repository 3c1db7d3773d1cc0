"""Checks and prepares a request's frames, as TensorFlow graphs.

Frames are prepared as for an evaluation (`rlstm_tf.data.video_views`): resized to the short side of
the training records, and cropped to the center. Checks run in the graph, on tensors of unknown
static shape: a server may run the graph without comparing shapes with the signature, and TensorFlow
removes checks whose outcome it believes to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from rlstm_tf.serving.exif import apply_orientation, read_orientation

# Pixels of a frame before it is resized; limits the cost of decoding.
MAX_PIXELS = 4096 * 4096
# Long side of a frame divided by its short side; limits the cost of resizing.
MAX_ASPECT = 16
# Videos per request; limits the memory of the network's activations.
MAX_VIDEOS = 64
# Scans of a JPEG; limits the cost of decoding. Progressive files of cameras have about ten.
MAX_SCANS = 100

_JPEG = b"\xff\xd8\xff"
# A PNG begins with its header: width and height follow, in big-endian.
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
# Begins a scan. Within a scan, a 0 follows every 255.
_SCAN = b"\xff\xda"
# Frames that are prepared at the same time.
_PARALLEL = 8


def require(condition: Any, message: str, *values: Any) -> tf.Operation:
    """Returns an operation that raises InvalidArgumentError if a condition is false.

    Args:
        condition: bool tensor.
        message: the requirement.
        *values: tensors to show after the message.
    """
    return tf.debugging.Assert(condition, [message, *values], summarize=8)


def hide_static_shape(value: tf.Tensor) -> tf.Tensor:
    """Returns the same tensor, with a shape that is known only when it runs."""
    # Shape inference sees through simpler operations, but not through a TensorArray.
    one = tf.TensorArray(value.dtype, 1, infer_shape=False, element_shape=None)
    return one.write(0, value).read(0)


def check_shape(value: tf.Tensor, name: str, inner: list[int | None], layout: str) -> tf.Tensor:
    """Checks the shape of a request's tensor when it runs.

    Args:
        value: the tensor; its static shape is ignored.
        name: name of the input, for messages.
        inner: sizes of the axes after the batch; None = any from 1 on.
        layout: description of the axes, for messages.

    Returns:
        The tensor, static shape `[None, *inner]`. It raises InvalidArgumentError when run if the
        rank or a size is wrong, or the batch is empty or larger than `MAX_VIDEOS`.
    """
    value = hide_static_shape(value)
    shape = tf.shape(value)
    rank = 1 + len(inner)
    # Pad the shape of a lower rank, so that only a check can fail.
    batch, *sizes = tf.unstack(tf.concat([shape, tf.fill([rank], -1)], 0)[:rank], num=rank)
    good = [
        tf.greater(found, 0) if size is None else tf.equal(found, size)
        for found, size in zip(sizes, inner)
    ]
    good.append(tf.equal(tf.size(shape), rank))
    checks = [
        require(tf.reduce_all(good), f"{name} must be {layout}; its shape is", shape),
        require(
            (batch >= 1) & (batch <= MAX_VIDEOS),
            f"{name}: a batch may hold 1 to {MAX_VIDEOS} videos; its shape is",
            shape,
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.ensure_shape(tf.identity(value), [None, *inner])


def check_frame_size(height: Any, width: Any, name: str) -> list[tf.Operation]:
    """Returns operations that raise InvalidArgumentError if a frame is too large or too long.

    Args:
        height: int32 scalar, pixels.
        width: int32 scalar, pixels.
        name: name of the input, for messages.
    """
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    short, long = tf.minimum(height, width), tf.maximum(height, width)
    return [
        require(
            (short >= 1) & (pixels <= MAX_PIXELS),
            f"{name}: a frame may have 1 to {MAX_PIXELS} pixels; height and width are",
            height,
            width,
        ),
        require(
            tf.cast(long, tf.int64) <= MAX_ASPECT * tf.cast(short, tf.int64),
            f"{name}: a frame's long side may be up to {MAX_ASPECT} times its short one; "
            "height and width are",
            height,
            width,
        ),
    ]


def decode_jpeg(jpeg: tf.Tensor, channels: int, name: str) -> tf.Tensor:
    """Decodes a JPEG file to the same pixels as OpenCV, after checks of its header.

    Args:
        jpeg: string scalar.
        channels: 3 = RGB, 1 = gray.
        name: name of the input, for messages.

    Returns:
        uint8 `[H, W, channels]`. It raises InvalidArgumentError when run if the file is not a JPEG
        or is truncated; and before any pixel is decoded, if the frame fails `check_frame_size` or
        the file has more than `MAX_SCANS` scans.
    """
    size = tf.strings.length(jpeg)
    message = f"{name} must hold JPEG files; one begins otherwise, and its bytes are"
    scans = tf.size(tf.strings.split([jpeg], _SCAN).flat_values) - 1
    many = f"{name}: a JPEG file may have up to {MAX_SCANS} scans; it has"
    checks = [
        require(_begins(jpeg, _JPEG), message, size),
        require(scans <= MAX_SCANS, many, scans),
    ]
    with tf.control_dependencies(checks):
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(tf.identity(jpeg)), num=3)
    with tf.control_dependencies(check_frame_size(height, width, name)):
        return tf.io.decode_jpeg(tf.identity(jpeg), channels, dct_method="INTEGER_ACCURATE")


def decode_picture(picture: tf.Tensor, name: str) -> tf.Tensor:
    """Decodes a picture as a phone or a browser sends it: a JPEG or PNG file of any color space.

    Args:
        picture: string scalar.
        name: name of the input, for messages.

    Returns:
        uint8 `[H, W, 3]`, RGB, upright: the EXIF orientation of a JPEG is applied. Transparency is
        left out. It raises InvalidArgumentError when run if the file is neither, or is truncated;
        and before any pixel is decoded, as `decode_jpeg` does.
    """

    def from_png() -> tf.Tensor:
        size = tf.strings.substr(tf.strings.join([picture, b"\0" * 8]), len(_PNG), 8)
        width, height = tf.unstack(tf.io.decode_raw(size, tf.int32, little_endian=False), num=2)
        with tf.control_dependencies(check_frame_size(height, width, name)):
            return tf.io.decode_png(tf.identity(picture), 3)

    def from_jpeg() -> tf.Tensor:
        image = decode_jpeg(picture, 3, name)
        return apply_orientation(image, read_orientation(picture))

    png, jpeg = _begins(picture, _PNG), _begins(picture, _JPEG)
    message = f"{name} must hold JPEG or PNG files; one begins otherwise, and its bytes are"
    with tf.control_dependencies([require(png | jpeg, message, tf.strings.length(picture))]):
        return tf.ensure_shape(tf.cond(png, from_png, from_jpeg), [None, None, 3])


def _begins(file: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(file, 0, len(magic)), magic)


def resize_and_crop(
    image: tf.Tensor, image_size: int, short_side: int, resize: bool, name: str
) -> tf.Tensor:
    """Crops a frame to its center, as an evaluation does.

    A frame of S x S is returned unchanged. One whose short side is `short_side` is cropped as a
    record is. Any other is resized first, as in `rlstm_tf.data.video`: by area averaging when it
    shrinks, bilinear when it grows.

    Args:
        image: uint8 `[H, W, C]`.
        image_size: S, pixels.
        short_side: short side of the training records, pixels, at least S.
        resize: False refuses other sizes, for flow, whose vectors are in pixels of the frames.
        name: name of the input, for messages.

    Returns:
        uint8 `[S, S, C]`.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    S = image_size
    ready = tf.equal(tf.minimum(height, width), short_side)
    ready |= tf.equal(height, S) & tf.equal(width, S)
    if resize:
        image = tf.cond(ready, lambda: image, lambda: _resize(image, short_side))
    else:
        message = (
            f"{name}: flow must be of frames with a short side of {short_side} pixels, or their "
            f"center of {S} x {S}; height and width are"
        )
        with tf.control_dependencies([require(ready, message, height, width)]):
            image = tf.identity(image)
    margin = tf.shape(image)[:2] - S
    y, x = tf.unstack(margin // 2)
    return tf.ensure_shape(image[y : y + S, x : x + S], [S, S, image.shape[-1]])


def _resize(image: tf.Tensor, short_side: int) -> tf.Tensor:
    height, width = tf.unstack(tf.shape(image)[:2])
    short, long = tf.minimum(height, width), tf.maximum(height, width)
    long_side = (2 * long * short_side + short) // (2 * short)
    size = tf.cond(
        width >= height, lambda: [short_side, long_side], lambda: [long_side, short_side]
    )
    resized = tf.cond(
        height > size[0],
        lambda: tf.image.resize(image, size, tf.image.ResizeMethod.AREA),
        lambda: tf.image.resize(image, size, tf.image.ResizeMethod.BILINEAR),
    )
    resized = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    return tf.ensure_shape(resized, [None, None, image.shape[-1]])


def map_frames(
    prepare: Callable[[tf.Tensor], tf.Tensor], frames: tf.Tensor, shape: Sequence[int]
) -> tf.Tensor:
    """Prepares frames a few at a time, to bound the memory of full-size frames.

    Args:
        prepare: maps one element of `frames` to uint8 `shape`.
        frames: any number of frames or files, along the first axis.
        shape: static shape of a prepared frame.

    Returns:
        uint8 `[len(frames), *shape]`.
    """
    spec = tf.TensorSpec(shape, tf.uint8)
    return tf.map_fn(prepare, frames, parallel_iterations=_PARALLEL, fn_output_signature=spec)
