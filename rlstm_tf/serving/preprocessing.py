"""What a client sends -> what a network takes, as TensorFlow graphs; and what is refused.

A client's frames become what an evaluation shows of a video (`rlstm_tf.data.video_views`): resized
so that the short side is that of the training records, and the centre cut out. A request is checked
in the graph, on tensors whose shape the graph does not know: a server may run it without comparing
shapes with the signature's first, and TensorFlow takes out checks of what it believes to know.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# Of a frame before it is resized: what decoding it may cost.
MAX_PIXELS = 4096 * 4096
# Its long side by its short one: what resizing it may cost.
MAX_ASPECT = 16
# Videos of a request: what the network's maps of them may cost.
MAX_VIDEOS = 64

# Of a JPEG: what decoding it may cost; progressive files of cameras and encoders have about ten.
MAX_SCANS = 100

_JPEG = b"\xff\xd8\xff"
# Begins a scan. In a scan itself a 0 follows every 255.
_SCAN = b"\xff\xda"
# Frames that are prepared at the same time.
_PARALLEL = 8


def require(good: Any, message: str, *shown: Any) -> tf.Operation:
    """An operation that fails with InvalidArgumentError where `good` is false.

    Args:
        good: bool tensor.
        message: what is allowed.
        *shown: tensors, what was given.
    """
    return tf.debugging.Assert(good, [message, *shown], summarize=8)


def opaque(value: tf.Tensor) -> tf.Tensor:
    """The same tensor, of a shape that is known only when it is there."""
    # Shape inference does not look into a list; through everything plainer it does.
    one = tf.TensorArray(value.dtype, 1, infer_shape=False, element_shape=None)
    return one.write(0, value).read(0)


def checked(value: tf.Tensor, name: str, inner: list[int | None], meaning: str) -> tf.Tensor:
    """A request's tensor, if its shape is right.

    Args:
        value: any shape, whatever its static shape says.
        name: of the input.
        inner: sizes of the axes after the batch; None = any from 1 on.
        meaning: of the axes, for the message.

    Returns:
        The tensor, static shape `[None, *inner]`. It raises InvalidArgumentError when run, if the
        rank is another, a size is another or none, or it has no video or more than `MAX_VIDEOS`.
    """
    value = opaque(value)
    shape = tf.shape(value)
    rank = 1 + len(inner)
    # Of a lower rank there are sizes too, so that nothing but a check can fail.
    batch, *sizes = tf.unstack(tf.concat([shape, tf.fill([rank], -1)], 0)[:rank], num=rank)
    good = [
        tf.greater(found, 0) if size is None else tf.equal(found, size)
        for found, size in zip(sizes, inner)
    ]
    good.append(tf.equal(tf.size(shape), rank))
    checks = [
        require(tf.reduce_all(good), f"{name} must be {meaning}; its shape is", shape),
        require(
            (batch >= 1) & (batch <= MAX_VIDEOS),
            f"{name}: a batch may hold 1 to {MAX_VIDEOS} videos; its shape is",
            shape,
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.ensure_shape(tf.identity(value), [None, *inner])


def check_size(height: Any, width: Any, name: str) -> list[tf.Operation]:
    """Operations that fail where a frame is too large or too long.

    Args:
        height: int32 scalar, pixels.
        width: int32 scalar, pixels.
        name: of the input.
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


def decoded(jpeg: tf.Tensor, channels: int, name: str) -> tf.Tensor:
    """Decodes a JPEG file, as OpenCV does, after a look at what its header promises.

    Args:
        jpeg: string scalar.
        channels: 3 = RGB, 1 = grey.
        name: of the input.

    Returns:
        uint8 `[H, W, channels]`. It raises InvalidArgumentError when run, if it is no JPEG or cut
        short, and before any pixel is decoded if it is larger than `check_size` allows or comes in
        more than `MAX_SCANS` scans.
    """
    size = tf.strings.length(jpeg)
    starts = tf.equal(tf.strings.substr(jpeg, 0, len(_JPEG)), _JPEG)
    message = f"{name} must hold JPEG files; one begins otherwise, and its bytes are"
    scans = tf.size(tf.strings.split([jpeg], _SCAN).flat_values) - 1
    many = f"{name}: a JPEG file may have up to {MAX_SCANS} scans; it has"
    checks = [require(starts, message, size), require(scans <= MAX_SCANS, many, scans)]
    with tf.control_dependencies(checks):
        height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(tf.identity(jpeg)), num=3)
    with tf.control_dependencies(check_size(height, width, name)):
        return tf.io.decode_jpeg(tf.identity(jpeg), channels, dct_method="INTEGER_ACCURATE")


def fitted(
    image: tf.Tensor, image_size: int, short_side: int, resize: bool, name: str
) -> tf.Tensor:
    """The centre of a frame as an evaluation cuts it out.

    A frame of S x S is taken as it is. Of one whose short side is `short_side` the same pixels are
    cut out as of a record. Any other is resized before, as `rlstm_tf.data.video` does: averaged
    where it shrinks, linear where it grows.

    Args:
        image: uint8 `[H, W, C]`.
        image_size: S, pixels.
        short_side: of the training records, pixels, S or more.
        resize: False = any other size is refused: flow is in pixels of the frames it is of.
        name: of the input.

    Returns:
        uint8 `[S, S, C]`.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    S = image_size
    ready = tf.equal(tf.minimum(height, width), short_side)
    ready |= tf.equal(height, S) & tf.equal(width, S)
    if resize:
        image = tf.cond(ready, lambda: image, lambda: _resized(image, short_side))
    else:
        message = (
            f"{name}: flow must be of frames with a short side of {short_side} pixels, or their "
            f"centre of {S} x {S}; height and width are"
        )
        with tf.control_dependencies([require(ready, message, height, width)]):
            image = tf.identity(image)
    room = tf.shape(image)[:2] - S
    y, x = tf.unstack(room // 2)
    return tf.ensure_shape(image[y : y + S, x : x + S], [S, S, image.shape[-1]])


def _resized(image: tf.Tensor, short_side: int) -> tf.Tensor:
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


def each(function: Any, values: tf.Tensor, shape: list[int]) -> tf.Tensor:
    """Prepares frame by frame, so that what lies between takes the memory of a few.

    Args:
        function: from a frame to uint8 `shape`.
        values: any number of frames, along the first axis.
        shape: static.

    Returns:
        uint8 `[frames, *shape]`.
    """
    spec = tf.TensorSpec(shape, tf.uint8)
    return tf.map_fn(function, values, parallel_iterations=_PARALLEL, fn_output_signature=spec)
