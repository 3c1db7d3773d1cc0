"""Counts the multiply-adds of a network in the graph that TensorFlow runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.layers.relation import without_chunks

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHING = ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")


def multiply_adds(model: keras.Model) -> int:
    """Counts the multiply-adds of a model for one sample, in inference.

    Counts convolutions and matrix products, as published figures do, without biases,
    normalizations, activations and pooling. Products with the initial state, which is zero, count
    too, because TensorFlow computes them. Operations that no output depends on do not run and do
    not count.

    Args:
        model: one input, every size but the batch's known.

    Raises:
        ValueError: the graph has a loop or a branch, or an operation of unknown size.
    """
    inputs = model.inputs[0]
    signature = tf.TensorSpec((1, *tuple(inputs.shape)[1:]), inputs.dtype)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    with without_chunks():
        graph = function.get_concrete_function(signature).graph
    return _count_graph(graph, [output.op for output in graph.outputs])


def _count_graph(graph: Any, outputs: Iterable[Any]) -> int:
    """Counts the operations of a graph that the given ones depend on, themselves included."""
    pending, seen, total = list(outputs), set(), 0
    while pending:
        operation = pending.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        total += _count_operation(graph, operation)
        pending += [tensor.op for tensor in operation.inputs]
        pending += operation.control_inputs
    return total


def _count_operation(graph: Any, operation: Any) -> int:
    if operation.type in _COUNTS:
        return _COUNTS[operation.type](operation)
    if operation.type in _CALLS:
        # TensorFlow has no public way from a call to the graph of the called function.
        body = graph._get_function(operation.get_attr("f").name).graph
        return _count_graph(body, [output.op for output in body.outputs])
    if operation.type in _BRANCHING:
        raise ValueError(f"{operation.name} runs an unknown number of times: unroll it")
    return 0


def _shape(tensor: Any) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"{tensor.op.name} ({tensor.op.type}) has an unknown size")
    return tensor.shape.as_list()


def _count_convolution(operation: Any) -> int:
    """Each output sums over the kernel's window and the channels of its group."""
    return prod(_shape(operation.outputs[0])) * prod(_shape(operation.inputs[1])[:3])


def _count_depthwise(operation: Any) -> int:
    """Each output sums over the kernel's window in one channel."""
    return prod(_shape(operation.outputs[0])) * prod(_shape(operation.inputs[1])[:2])


def _count_product(transposed: str) -> Callable[[Any], int]:
    """Each element of a matrix product sums over the axis that both factors share."""

    def count(operation: Any) -> int:
        axis = -2 if operation.get_attr(transposed) else -1
        return prod(_shape(operation.outputs[0])) * _shape(operation.inputs[0])[axis]

    return count


def _count_einsum(operation: Any) -> int:
    """One for each combination of indices; none if a single tensor is rearranged."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    if len(terms) == 1:
        return 0
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs):
        before, dots, after = term.partition("...")
        shape = _shape(tensor)
        extra = len(shape) - len(before) - len(after)
        # Number the axes under an ellipsis from the last one, as broadcasting does.
        indices = [*before, *(f"...{extra - k}" for k in range(extra if dots else 0)), *after]
        for index, size in zip(indices, shape):
            sizes[index] = max(size, sizes.get(index, 1))
    return prod(sizes.values())


_COUNTS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _count_convolution,
    "DepthwiseConv2dNative": _count_depthwise,
    "MatMul": _count_product("transpose_a"),
    "BatchMatMul": _count_product("adj_x"),
    "BatchMatMulV2": _count_product("adj_x"),
    "BatchMatMulV3": _count_product("adj_x"),
    "Einsum": _count_einsum,
}
