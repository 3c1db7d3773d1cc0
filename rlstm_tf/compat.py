"""Differences between the two stacks, Keras 3 and Keras 2.15.

`ops` holds the array functions that the layers use, under the names of `keras.ops`: Keras 3's own
for any backend, or TensorFlow's under Keras 2.15. TensorFlow is imported only if it is the backend,
so layers and networks also run on JAX and torch.
"""

from __future__ import annotations

import contextlib
import itertools
from math import prod
from types import SimpleNamespace
from typing import Any

import keras

KERAS_3 = int(keras.__version__.split(".")[0]) >= 3
TENSORFLOW = not KERAS_3 or keras.backend.backend() == "tensorflow"

if TENSORFLOW:
    import tensorflow as tf

if KERAS_3:
    ops = keras.ops
else:

    def _depthwise_conv(inputs: Any, kernel: Any, padding: str, data_format: str) -> Any:
        assert data_format == "channels_last"
        return tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], padding.upper())

    def _shape(x: Any) -> tuple[Any, ...]:
        dynamic = tf.shape(x)
        return tuple(dynamic[k] if size is None else size for k, size in enumerate(x.shape))

    ops = SimpleNamespace(
        any=tf.reduce_any,
        cast=tf.cast,
        concatenate=tf.concat,
        depthwise_conv=_depthwise_conv,
        einsum=tf.einsum,
        flip=lambda x, axis: tf.reverse(x, [axis]),
        matmul=tf.matmul,
        mean=tf.reduce_mean,
        minimum=tf.minimum,
        ones=tf.ones,
        ones_like=tf.ones_like,
        relu=tf.nn.relu,
        reshape=tf.reshape,
        rsqrt=tf.math.rsqrt,
        shape=_shape,
        sigmoid=tf.sigmoid,
        softmax=tf.nn.softmax,
        split=tf.split,
        square=tf.square,
        stack=tf.stack,
        stop_gradient=tf.stop_gradient,
        sum=tf.reduce_sum,
        tanh=tf.tanh,
        transpose=tf.transpose,
        unstack=lambda x, axis: tf.unstack(x, axis=axis),
        where=tf.where,
        zeros=tf.zeros,
        zeros_like=tf.zeros_like,
    )


def is_float64(x: Any) -> bool:
    """Returns whether a tensor of any backend has double precision."""
    return (keras.backend.standardize_dtype(x.dtype) if KERAS_3 else x.dtype) == "float64"


def matmul(x: Any, y: Any) -> Any:
    """Multiplies matrices, float64 in double precision; Keras 3 may not, on JAX and torch."""
    if TENSORFLOW or not is_float64(x):
        return ops.matmul(x, y)
    return ops.einsum("...ij,...jk->...ik", x, y)


def mean(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    """Averages over some axes; float64 as in `matmul`."""
    if TENSORFLOW or not is_float64(x):
        return ops.mean(x, axis=axis, keepdims=keepdims)
    return ops.sum(x, axis=axis, keepdims=keepdims) / prod(x.shape[k] for k in axis)


def value_of(variable: Any) -> Any:
    """Returns a variable's value, to calculate with before the variable is assigned to.

    torch assigns in place, and refuses gradients through what has changed since.
    """
    if KERAS_3 and keras.backend.backend() == "torch":
        return ops.copy(variable)
    return variable


def weight_paths_below(name: str) -> Any:
    """Returns a context: paths of weights that layers create in it begin with `name/`.

    Keras 2.15, which has no paths, ignores it.
    """
    return keras.name_scope(name) if KERAS_3 else contextlib.nullcontext()


class _Channels(int):
    """The size of a state, for Keras 3, whose whole `shape` a stacked cell is built from."""

    shape: tuple[int, ...]

    def __new__(cls, channels: int, shape: tuple[int, ...] = ()) -> _Channels:
        size = super().__new__(cls, channels)
        size.shape = shape
        return size


def step_shape(shape: Any) -> tuple[int | None, ...]:
    """Returns the whole shape that a recurrent cell is built with.

    Args:
        shape: a shape, or in Keras 3 batch and `output_size` of the cell before in a stack.
    """
    batch, *sizes = shape
    return (batch, *(sizes[0].shape if sizes and isinstance(sizes[0], _Channels) else sizes))


def state_size(shapes: list[tuple[int, ...]]) -> list[Any]:
    """Returns the `state_size` of a recurrent cell whose states are maps.

    Keras 2.15 takes a `TensorShape` for each state. Keras 3 takes an integer, and the shape from
    `get_initial_state`.

    Args:
        shapes: shape of each state without the batch axis.
    """
    if KERAS_3:
        return [_Channels(shape[-1], shape) for shape in shapes]
    return [tf.TensorShape(shape) for shape in shapes]


def unrolled_conv_lstm(filters: int, **kwargs: Any) -> keras.layers.Layer:
    """Creates an unrolled `keras.layers.ConvLSTM2D` that returns the last hidden state.

    Args:
        filters: channels of the state.
        **kwargs: further arguments of `keras.layers.ConvLSTM2D`.
    """
    if KERAS_3:
        return keras.layers.ConvLSTM2D(filters, unroll=True, **kwargs)
    return _UnrolledConvLSTM2D(filters, **kwargs)


if not KERAS_3:

    @keras.saving.register_keras_serializable("rlstm_tf")
    class _UnrolledConvLSTM2D(keras.layers.ConvLSTM2D):
        """Unrolls over maps; Keras 2.15 unrolls over vectors only."""

        def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
            shape = self.compute_output_shape(inputs.shape)[1:]
            states = [tf.zeros((tf.shape(inputs)[0], *shape), inputs.dtype)] * 2
            for X in tf.unstack(inputs, axis=1)[:: -1 if self.go_backwards else 1]:
                _, states = self.cell.call(X, states, training=training)
            return states[0]


# For `add_weight`: keeps the variable in float32 in a layer with mixed precision.
FULL_PRECISION: dict[str, Any] = {"autocast" if KERAS_3 else "experimental_autocast": False}

# For `add_weight`: all replicas assign the same value, one that `replica_mean` returned.
SAME_ON_REPLICAS: dict[str, Any] = {
    "aggregation": "only_first_replica" if KERAS_3 else tf.VariableAggregation.ONLY_FIRST_REPLICA
}


def replica_mean(values: list[Any]) -> list[Any]:
    """Averages tensors over the replicas of a TensorFlow strategy; no change without replicas."""
    context = tf.distribute.get_replica_context() if TENSORFLOW else None
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def add_loss_scaling(optimizer: Any) -> Any:
    """Wraps an optimizer without slots so that small float16 gradients do not vanish."""
    return keras.mixed_precision.LossScaleOptimizer(optimizer)


def create_slots(optimizer: Any, variables: list[Any]) -> None:
    """Creates an optimizer's variables; tensorflow-addons has Keras's legacy optimizers."""
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:
        optimizer._create_all_weights(variables)


def scale_loss(optimizer: Any, value: Any) -> Any:
    """Multiplies a loss, or a term of its gradients, by the optimizer's loss scale, if any."""
    if KERAS_3:
        return optimizer.scale_loss(value)
    return optimizer.get_scaled_loss(value) if hasattr(optimizer, "get_scaled_loss") else value


def apply_scaled(optimizer: Any, gradients: list[Any], variables: list[Any]) -> None:
    """Applies a replica's gradients of a loss from `scale_loss`.

    An overflow on any replica skips the step on all.
    """
    if not KERAS_3 and hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)
    elif KERAS_3 and isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # Keras 3 checks the gradients of the first replica only.
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        (share,) = replica_mean([tf.cast(finite, tf.float32)])
        gradients = [tf.where(share == 1.0, g, tf.cast(float("nan"), g.dtype)) for g in gradients]
    optimizer.apply_gradients(zip(gradients, variables))


def optimizer_state(optimizer: Any) -> list[Any]:
    """Returns the variables that an optimizer depends on; loss scale and its counter come last."""
    if KERAS_3:
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return list(optimizer.variables)
        # The wrapper's own iteration and learning rate are unused.
        inner = optimizer.inner_optimizer.variables
        return [*inner, optimizer.dynamic_scale, optimizer.step_counter]
    variables = optimizer.variables
    if not isinstance(variables, list):
        # Legacy optimizers list all m, then all v; others list m and v of each variable in turn.
        steps, *slots = variables()
        pairs = zip(slots[: len(slots) // 2], slots[len(slots) // 2 :])
        variables = [steps, *itertools.chain.from_iterable(pairs)]
    if hasattr(optimizer, "get_unscaled_gradients"):
        scale = optimizer._loss_scale
        variables = [*variables, scale.current_loss_scale, scale.counter]
    return list(variables)


def first_call(layer: Any) -> tuple[Any, Any]:
    """Returns input and output of a layer where its network was built.

    Models made of parts of the network call it again; Keras 2.15 then has no single `input`.
    """
    if KERAS_3:
        return layer.input, layer.output
    return layer.get_input_at(0), layer.get_output_at(0)


def weight_name(layer: Any, weight: Any) -> str:
    """Returns a weight's name as `layer/weight`, with the names of Keras 3 on both stacks.

    In Keras 2.15, layer names can contain a slash, as in DenseNet, and a depthwise kernel has
    another name.
    """
    name = weight.name.split("/")[-1].split(":")[0]
    if not KERAS_3 and isinstance(layer, keras.layers.DepthwiseConv2D):
        name = name.replace("depthwise_kernel", "kernel")
    if not KERAS_3 and isinstance(layer, keras.layers.RNN):
        # Layers inside a cell have weights of equal names.
        inner = weight.name.split("/")[-2]
        name = f"{inner}_{name}" if inner.endswith("_norm") else name
    if isinstance(layer, keras.layers.MultiHeadAttention):
        # Its projections have weights of equal names.
        path = weight.path if KERAS_3 else weight.name
        name = f"{path.split('/')[-2]}_{name}"
    return f"{layer.name.replace('/', '_')}/{name}"


def tensorflow_variables(variables: list[Any]) -> list[Any]:
    """Returns the `tf.Variable`s of a model's variables."""
    return [variable.value if KERAS_3 else variable for variable in variables]


def fused_batch_normalization(
    inputs: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float
) -> tuple[Any, Any, Any] | None:
    """Runs TensorFlow's one-pass batch-normalization kernel, which Keras 3 does not use.

    Args:
        inputs: `[batch, ..., C]`, float32, float16 or bfloat16.
        gamma: scale, float32 `[C]`.
        beta: offset, float32 `[C]`.
        mean: mean to normalize with, float32 `[C]`; None for the mean of the inputs.
        variance: variance to normalize with, float32 `[C]`; None like `mean`.
        epsilon: added to the variance; the kernel requires at least 1.001e-5.

    Returns:
        Outputs, and the mean and (biased) variance used; None without such a kernel: on another
        backend, or for float64.
    """
    if not TENSORFLOW or is_float64(inputs):
        return None
    maps = inputs
    if len(inputs.shape) != 4:
        maps = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
    outputs, used_mean, used_variance = tf.compat.v1.nn.fused_batch_norm(
        maps, gamma, beta, mean, variance, epsilon, is_training=mean is None
    )
    if mean is None:
        # The kernel normalizes with the biased variance, but returns it with Bessel's correction.
        count = tf.cast(tf.size(maps) // maps.shape[-1], used_variance.dtype)
        used_variance *= (count - 1.0) / count
    return tf.reshape(outputs, tf.shape(inputs)), used_mean, used_variance
