"""What `benchmarks.accelerator` times: the layer, its peer, and networks, with random inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np

from benchmarks.layers import multiply_adds
from rlstm_tf.compat import unrolled_conv_lstm
from rlstm_tf.layers import RelationalLSTM
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.models.branches import NonLocalTail

LAYERS = ("layer", "convlstm2d")
CLASSES = 101
# Side of ConvLSTM2D's kernels.
_WINDOW = 3


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        num_segments: T.
        side: H and W of the layers' maps.
        channels: C of their input.
        units: C of their state.
        batches: batch sizes that the layers are timed at.
        backbone: of the networks.
        image_size: side of their frames, pixels.
        network_batch: batch size of the networks.
        cube: side of the matrices whose product is the peak.
    """

    num_segments: int
    side: int
    channels: int
    units: int
    batches: tuple[int, ...]
    backbone: str
    image_size: int
    network_batch: int
    cube: int


FULL = Sizes(8, 7, 2048, 1024, (2, 24), "resnet101v2", 224, 8, 8192)
SMALL = Sizes(2, 4, 64, 32, (2,), "tiny_resnetv2", 32, 2, 512)


@dataclass(frozen=True)
class Case:
    """A network that can be timed.

    Attributes:
        network: model of one input and one output.
        x: its input, of one batch.
        loss: of its output.
        of_input: the gradient of `x` belongs to a backward pass: something is below the network.
        multiply_adds: of a forward pass; a backward pass has about twice as many.
    """

    network: Any
    x: Any
    loss: Callable[[Any], Any]
    of_input: bool
    multiply_adds: int


def build_case(name: str, sizes: Sizes, batch: int) -> Case:
    """Builds a case in Keras's current precision, with random weights.

    Args:
        name: one of `LAYERS`, or a network.
        sizes: how large.
        batch: videos in `x`.
    """
    keras.utils.set_random_seed(0)
    return (_layer if name in LAYERS else _network)(name, sizes, batch)


def _layer(name: str, sizes: Sizes, batch: int) -> Case:
    T, units = sizes.num_segments, sizes.units
    shape = (T, sizes.side, sizes.side, sizes.channels)
    if name == "layer":
        layer = RelationalLSTM(units, unroll=True)
        work = multiply_adds(batch, T, sizes.side**2, sizes.channels, units)
    else:
        # Keras's default for recurrent kernels, an orthogonal matrix, takes half a minute to draw.
        layer = unrolled_conv_lstm(
            units, kernel_size=_WINDOW, padding="same", recurrent_initializer="glorot_uniform"
        )
        kernels = 4 * _WINDOW**2 * (sizes.channels + units) * units
        work = batch * T * sizes.side**2 * kernels
    dtype = keras.config.dtype_policy().compute_dtype
    inputs = keras.Input(shape, dtype=dtype)
    X = np.random.default_rng(0).normal(size=(batch, *shape))
    return Case(keras.Model(inputs, layer(inputs)), tensor(X, dtype), mean_square, True, work)


def mean_square(outputs: Any) -> Any:
    """Returns the mean of the squares, in float32."""
    return keras.ops.mean(keras.ops.square(keras.ops.cast(outputs, "float32")))


def tensor(values: Any, dtype: str) -> Any:
    """Converts an array to a tensor on the device."""
    return keras.ops.cast(keras.ops.convert_to_tensor(np.asarray(values, "float32")), dtype)


def _network(name: str, sizes: Sizes, batch: int) -> Case:
    config = ModelConfig(
        model=name,
        backbone=sizes.backbone,
        weights="none",
        num_segments=sizes.num_segments,
        image_size=sizes.image_size,
    )
    network = build_model(config, CLASSES)
    frames = np.random.default_rng(0).integers(0, 256, (batch, *network.input_shape[1:]), "uint8")
    labels = keras.ops.convert_to_tensor(np.arange(batch, dtype="int32") % CLASSES)

    def loss(logits: Any) -> Any:
        return keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        )

    work = batch * network_multiply_adds(network)
    return Case(network, keras.ops.convert_to_tensor(frames), loss, False, work)


def network_multiply_adds(network: keras.Model) -> int:
    """Counts the multiply-adds of a network on a ResNetV2 for one video, without TensorFlow.

    Counts what `rlstm_tf.models.cost` finds in a graph of TensorFlow.

    Args:
        network: `tsn` or `two_branch`.
    """
    T = network.input_shape[1]
    total = 0
    for layer in network.layers:
        if isinstance(layer, NonLocalTail):
            total += _convolutions(layer)
        elif isinstance(layer, keras.Model):  # on every snippet
            total += T * _convolutions(layer)
        elif isinstance(layer, RelationalLSTM):
            _, _, *side, channels = layer.input.shape
            total += multiply_adds(1, T, prod(side), channels, layer.units)
        elif isinstance(layer, keras.layers.Conv2D):
            total += _convolution(layer)
        elif isinstance(layer, keras.layers.Dense):
            total += prod(layer.kernel.shape) * (T if network.name == "tsn" else 1)
    return total


def _convolutions(model: keras.Model) -> int:
    layers = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return sum(map(_convolution, layers))


def _convolution(layer: keras.layers.Layer) -> int:
    """Each output sums over the kernel's window and all channels."""
    return prod(layer.output.shape[1:]) * prod(layer.kernel.shape[:3])
