"""Parts that the networks share: input, local branch, non-local branch, classification head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from rlstm_tf import compat
from rlstm_tf.layers import (
    BatchNormalization,
    FoldTime,
    PixelScaling,
    RelationalLSTM,
    UnfoldTime,
)
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.dropout import Dropout

# All new layers (section 4). Keras's default for recurrent kernels, an orthogonal matrix, takes
# half a minute to draw for a convolution of 1,024 channels.
INITIALIZER = "glorot_uniform"
# Behind the name of a recurrent layer: the name of the one that goes backward.
BACKWARD = "_back"


@keras.saving.register_keras_serializable("rlstm_tf")
class NonLocalTail(keras.Model):
    """A model whose weights stay below its name when it is loaded.

    Under torch, `fit` finds gradients by the paths of weights. Of two weights with one path, as
    those of both tails would be, it clears one: the other sums up the gradients of all steps.
    """

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> keras.Model:
        """Creates the model from `get_config`."""
        with compat.weight_paths_below(config["name"]):
            return super().from_config(config, custom_objects)


def encode_snippets(backbone: Backbone, config: ModelConfig) -> tuple[Any, Any]:
    """Applies the trunk to each snippet.

    Returns:
        The network's input, uint8 `[batch, T, S, S, channels]`, and maps `[batch * T, H, W, C]`.
    """
    frames = keras.Input(
        (config.num_segments, *backbone.trunk.input_shape[1:]), dtype="uint8", name="frames"
    )
    images = PixelScaling(backbone.scaling, name="scale")(FoldTime(name="fold")(frames))
    # Names the place where a training from cached maps begins; computes nothing.
    maps = keras.layers.Activation("linear", name="maps")(backbone.trunk(images))
    return frames, maps


def relational_lstm(config: ModelConfig, channels: int) -> Callable[[Any], Any]:
    """Makes the Relational LSTM for maps of `channels` channels.

    Returns:
        See `in_directions`.
    """

    def layer(units: int, **kwargs: Any) -> keras.layers.Layer:
        return RelationalLSTM(
            units,
            pairwise=config.pairwise,
            attention_scale=config.attention_scale,
            attention_norm=config.attention_norm,
            local_term=config.local_term,
            displacement_term=config.displacement_term,
            unit_forget_bias=config.unit_forget_bias,
            unroll=True,
            **kwargs,
        )

    return in_directions(layer, "relational_lstm", config, channels)


def in_directions(
    layer: Callable[..., Any], name: str, config: ModelConfig, channels: int
) -> Callable[[Any], Any]:
    """Makes a recurrent layer, or, bidirectional, two of half the units each.

    Args:
        layer: makes a layer from units, `name` and `go_backwards`.
        name: of the layer; the one that goes backward has `BACKWARD` behind it.
        config: options of the network.
        channels: C of the maps.

    Returns:
        Function from maps `[batch, T, H, W, C]` to the last hidden state `[batch, H, W, units]`:
        with two layers, the last state of each, concatenated.
    """
    units = config.state_size(channels)
    if not config.bidirectional:
        made: Callable[[Any], Any] = layer(units, name=name)
        return made
    forward = layer(units // 2, name=name)
    backward = layer(units // 2, name=f"{name}{BACKWARD}", go_backwards=True)
    concatenate = keras.layers.Concatenate(name="both_ways")
    return lambda maps: concatenate([forward(maps), backward(maps)])


def local_features(maps: Any, tail: keras.Model) -> Any:
    """Applies the tail to each snippet: `[batch * T, H, W, C]` -> `[batch * T, C_tail]`."""
    return keras.layers.GlobalAveragePooling2D(name="local_space")(tail(maps))


def local_branch(maps: Any, backbone: Backbone, config: ModelConfig) -> Any:
    """Averages the tail's features over space and time.

    Args:
        maps: of all snippets, `[batch * T, H, W, C]`.
        backbone: its tail is used, weights included.
        config: options of the network.

    Returns:
        Features `[batch, C_tail]`.
    """
    features = local_features(maps, backbone.tail)
    features = UnfoldTime(config.num_segments, name="local_segments")(features)
    return keras.layers.GlobalAveragePooling1D(name="local_time")(features)


def non_local_branch(
    maps: Any, backbone: Backbone, config: ModelConfig, recurrent: Callable[[Any], Any]
) -> Any:
    """Sums up the snippets in a recurrent layer's last hidden state.

    Batch normalization, recurrent layer, 1x1 convolution back to C channels, a reinitialized copy
    of the tail, average over space.

    Args:
        maps: of all snippets, `[batch * T, H, W, C]`.
        backbone: its tail is copied.
        config: options of the network.
        recurrent: maps `[batch, T, H, W, C]` -> last hidden state `[batch, H, W, units]`.

    Returns:
        Features `[batch, C_tail]`.
    """
    X = UnfoldTime(config.num_segments, name="segments")(maps)
    normalization = BatchNormalization(
        training_statistics=config.batch_norm,
        momentum=config.batch_norm_momentum,
        name="non_local_bn",
    )
    H = recurrent(normalization(X))
    maps = keras.layers.Conv2D(X.shape[-1], 1, name="restore")(H)
    # A model with another name, because both tails hold layers of the same names.
    name = "non_local_tail"
    with compat.weight_paths_below(name):
        tail = keras.models.clone_model(backbone.tail, clone_function=_reinitialized)
    tail = NonLocalTail(tail.input, tail.output, name=name)
    return keras.layers.GlobalAveragePooling2D(name="non_local_space")(tail(maps))


def both_branches(
    maps: Any, backbone: Backbone, config: ModelConfig, recurrent: Callable[[Any], Any]
) -> Any:
    """Concatenates the features of the local and the non-local branch; see both for arguments."""
    local = local_branch(maps, backbone, config)
    non_local = non_local_branch(maps, backbone, config, recurrent)
    return keras.layers.Concatenate(name="features")([local, non_local])


def classification_head(features: Any, config: ModelConfig, num_classes: int) -> Any:
    """Dropout and one dense layer: `[..., C]` -> float32 logits `[..., num_classes]`."""
    features = Dropout(config.dropout, name="dropout")(features)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)


def _reinitialized(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Copies a layer, with the initializer of all new layers for its kernels."""
    config = layer.get_config()
    kernels = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")
    config.update((name, INITIALIZER) for name in kernels if name in config)
    return layer.__class__.from_config(config)
