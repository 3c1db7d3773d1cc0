"""Attention of many positions without all of its weights in memory.

Queries are taken in chunks, one chunk of one example after the other. A chunk's weights exist only
while its result is computed; the backward pass computes them again. As in Rabe and Staats,
*Self-attention Does Not Need O(n^2) Memory* (arXiv 2112.05682), with whole rows of weights, so that
the results differ from those of one large product by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from rlstm_tf.compat import TENSORFLOW, ops

if TENSORFLOW:
    import tensorflow as tf


def in_chunks(
    attend: Callable[..., Any], theta: Any, others: Sequence[Any], units: int, count: int
) -> Any:
    """Computes z = attend(theta, *others) in chunks of the positions of theta.

    Args:
        attend: function of an example, theta `[..., n, C]` and the others -> z `[..., n, units]` in
            the data type of theta, a position of z from the same position of theta alone. Must not
            use variables: their gradients would be lost.
        theta: queries, `[batch, ..., N, C]`; all sizes but the batch's are static.
        others: further tensors `[batch, ...]`. Their gradients are sums over the chunks: float32
            keeps these precise.
        units: channels of z.
        count: number of chunks, at most N.

    Returns:
        z, `[batch, ..., N, units]`.
    """
    *kept, N, channels = theta.shape[1:]
    size = -(-N // count)
    if count * size > N:  # zeros at the end, whose z is cut off
        zeros = ops.zeros_like(theta[..., : count * size - N, :])
        theta = ops.concatenate([theta, zeros], -2)
    axis = len(kept) + 1
    theta = ops.reshape(theta, (-1, *kept, count, size, channels))
    theta = ops.transpose(theta, (0, axis, *range(1, axis), axis + 1, axis + 2))
    z = _one_by_one(attend, theta, others, units)
    z = ops.transpose(z, (0, *range(2, axis + 1), 1, axis + 1, axis + 2))
    return ops.reshape(z, (-1, *kept, count * size, units))[..., :N, :]


def _one_by_one(attend: Callable[..., Any], chunks: Any, others: Sequence[Any], units: int) -> Any:
    """Applies `attend` to each chunk `chunks[example, number]` and the others of its example."""
    if TENSORFLOW:
        return _one_by_one_in_tensorflow(attend, chunks, others, units)
    attend = keras.remat(attend)

    def of_example(tensors: Any) -> Any:
        chunks, *others = tensors
        return ops.map(lambda chunk: attend(chunk, *others), chunks)

    return ops.map(of_example, (chunks, *others))


def _one_by_one_in_tensorflow(
    attend: Callable[..., Any], chunks: Any, others: Sequence[Any], units: int
) -> Any:
    """The same with a gradient of its own.

    TensorFlow's gradient of a loop, even with `tf.recompute_grad` in it, would keep a copy of the
    others for each chunk. Without a loop, it would compute all chunks at the same time.
    """

    def of_example(tensors: Any) -> Any:
        chunks, *others = tensors
        return _map(lambda chunk: attend(chunk, *others), chunks, of_slice(chunks))

    def of_slice(chunks: Any) -> tuple[Any, Any]:
        return (*chunks.shape[1:-1], units), chunks.dtype

    @tf.custom_gradient
    def run(*inputs: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(dz: Any) -> Any:
            like = [(x.shape[1:], x.dtype) for x in inputs]
            return _map(lambda tensors: _gradients(attend, *tensors), (dz, *inputs), like)

        # Without recompute_grad, a tape of eager operations would keep all that is computed here.
        z = tf.recompute_grad(lambda *x: _map(of_example, x, of_slice(x[0])))(*inputs)
        return z, gradient

    return run(chunks, *others)


def _map(function: Callable[[Any], Any], tensors: Any, results: Any) -> Any:
    """Applies a function to one slice after the other; results are shape and dtype of a slice."""
    is_one = isinstance(results, tuple)
    specs = [tf.TensorSpec(*result) for result in ([results] if is_one else results)]
    return tf.map_fn(
        function,
        tensors,
        parallel_iterations=1,
        fn_output_signature=specs[0] if is_one else specs,
    )


def _gradients(attend: Callable[..., Any], dz: Any, chunks: Any, *others: Any) -> list[Any]:
    """Returns the gradients of an example's chunks and of the others."""
    count = chunks.shape[0]

    def add(k: Any, dchunks: Any, sums: list[Any]) -> tuple[Any, Any, list[Any]]:
        inputs = [chunks[k], *others]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            z = attend(*inputs)
        dchunk, *more = tape.gradient(z, inputs, dz[k])
        return k + 1, dchunks.write(k, dchunk), [x + y for x, y in zip(sums, more)]

    dchunks = tf.TensorArray(chunks.dtype, count, element_shape=chunks.shape[1:])
    start = 0, dchunks, [tf.zeros_like(x) for x in others]
    _, dchunks, sums = tf.while_loop(lambda k, *_: k < count, add, start, parallel_iterations=1)
    return [dchunks.stack(), *sums]
