"""Multiply-adds of a network, counted from the graph that TensorFlow runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import keras
import tensorflow as tf

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_BRANCHING = ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of a model for one sample, while it predicts.

    Counted are convolutions and matrix products, as published figures do: no biases,
    normalizations, activations or pooling. A product with a state that is zero at the first step
    counts like any other, because it is computed like any other. Operations that no output
    depends on are not counted: they are not run.

    Args:
        model: of one input; a size of it other than that of the batch must be known.

    Raises:
        ValueError: the graph has a loop or a branch, or an operation of unknown size.
    """
    inputs = model.inputs[0]
    signature = tf.TensorSpec((1, *tuple(inputs.shape)[1:]), inputs.dtype)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    return _of_graph(function.graph, [output.op for output in function.graph.outputs])


def _of_graph(graph: Any, outputs: Iterable[Any]) -> int:
    """Multiply-adds of the operations of a graph that the given ones depend on."""
    waiting, seen, total = list(outputs), set(), 0
    while waiting:
        operation = waiting.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        total += _of_operation(graph, operation)
        waiting += [tensor.op for tensor in operation.inputs]
        waiting += operation.control_inputs
    return total


def _of_operation(graph: Any, operation: Any) -> int:
    if operation.type in _COUNTS:
        return _COUNTS[operation.type](operation)
    if operation.type in _CALLS:
        # TensorFlow has no public way from a call to the graph of what it calls.
        body = graph._get_function(operation.get_attr("f").name).graph
        return _of_graph(body, [output.op for output in body.outputs])
    if operation.type in _BRANCHING:
        raise ValueError(f"how often the parts of {operation.name} run is not known: unroll it")
    return 0


def _shape(tensor: Any) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"the size of {tensor.op.name} ({tensor.op.type}) is not known")
    return tensor.shape.as_list()


def _convolution(operation: Any) -> int:
    """Each output is a sum over the kernel's window and the channels of its group."""
    return prod(_shape(operation.outputs[0])) * prod(_shape(operation.inputs[1])[:3])


def _depthwise(operation: Any) -> int:
    """Each output is a sum over the kernel's window, in one channel."""
    return prod(_shape(operation.outputs[0])) * prod(_shape(operation.inputs[1])[:2])


def _product(transposed: str) -> Callable[[Any], int]:
    """Each element of a matrix product is a sum over the axis that both have."""

    def count(operation: Any) -> int:
        axis = -2 if operation.get_attr(transposed) else -1
        return prod(_shape(operation.outputs[0])) * _shape(operation.inputs[0])[axis]

    return count


def _einsum(operation: Any) -> int:
    """One for every combination of the indices; none where a single tensor is rearranged."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    if len(terms) == 1:
        return 0
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs):
        before, dots, after = term.partition("...")
        shape = _shape(tensor)
        extra = len(shape) - len(before) - len(after)
        # Axes under an ellipsis are counted from the last one, as broadcasting has it.
        indices = [*before, *(f"...{extra - k}" for k in range(extra if dots else 0)), *after]
        for index, size in zip(indices, shape):
            sizes[index] = max(size, sizes.get(index, 1))
    return prod(sizes.values())


_COUNTS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product("transpose_a"),
    "BatchMatMul": _product("adj_x"),
    "BatchMatMulV2": _product("adj_x"),
    "BatchMatMulV3": _product("adj_x"),
    "Einsum": _einsum,
}
