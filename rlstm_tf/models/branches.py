"""The parts that the networks are made of: what comes before, between and after their branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from rlstm_tf.layers import (
    BatchNormalization,
    FoldTime,
    PixelScaling,
    RelationalLSTM,
    UnfoldTime,
)
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.dropout import Dropout


@dataclass(frozen=True)
class Recurrence:
    """Options of a network's recurrent layer; a network without one has no use for them.

    Attributes:
        units: channels of the state; half of those it is fed with if None, as in the paper.
        pairwise: of the Relational LSTM.
        attention_scale: of the Relational LSTM.
        embeddings: of the Relational LSTM.
        bidirectional: a second Relational LSTM from X_T to X_1, with half of the channels each.
        lstm_cell: of the LSTM: `standard`, or `layer_norm` or `peephole` of tensorflow-addons.
    """

    units: int | None = None
    pairwise: str = "embedded_gaussian"
    attention_scale: float = 1.0
    embeddings: str = "separate"
    bidirectional: bool = False
    lstm_cell: str = "standard"

    def state(self, channels: int) -> int:
        """Channels of the state over maps of so many channels."""
        return self.units or channels // 2

    def relational_lstm(self, channels: int) -> Callable[[Any], Any]:
        """The Relational LSTM for maps of so many channels: takes them to the last hidden state."""
        if not self.bidirectional:
            return self._one_way(self.state(channels), "relational_lstm")
        units = self.state(channels) // 2
        ahead = self._one_way(units, "relational_lstm")
        back = self._one_way(units, "relational_lstm_back", go_backwards=True)
        join = keras.layers.Concatenate(name="both_ways")
        return lambda maps: join([ahead(maps), back(maps)])

    def _one_way(self, units: int, name: str, **kwargs: Any) -> keras.layers.Layer:
        return RelationalLSTM(
            units,
            pairwise=self.pairwise,
            attention_scale=self.attention_scale,
            embeddings=self.embeddings,
            name=name,
            **kwargs,
        )


PAPER = Recurrence()


def snippets(backbone: Backbone, num_segments: int) -> tuple[Any, Any]:
    """A network's input, and the trunk's maps of every snippet.

    Returns:
        frames uint8 `[batch, T, S, S, channels]` and maps `[batch * T, H, W, C]`.
    """
    frames = keras.Input(
        (num_segments, *backbone.trunk.input_shape[1:]), dtype="uint8", name="frames"
    )
    images = PixelScaling(backbone.scaling, name="scale")(FoldTime(name="fold")(frames))
    return frames, backbone.trunk(images)


def local_features(maps: Any, tail: keras.Model) -> Any:
    """Maps `[batch * T, H, W, C]` -> features of each snippet `[batch * T, C_tail]`."""
    return keras.layers.GlobalAveragePooling2D(name="local_space")(tail(maps))


def local_branch(maps: Any, tail: keras.Model, num_segments: int) -> Any:
    """Maps of all snippets `[batch * T, H, W, C]` -> features `[batch, C_tail]`.

    The tail on each snippet, averaged over space, then over time.
    """
    features = UnfoldTime(num_segments, name="local_segments")(local_features(maps, tail))
    return keras.layers.GlobalAveragePooling1D(name="local_time")(features)


def non_local_branch(
    maps: Any, backbone: Backbone, num_segments: int, recurrent: Callable[[Any], Any]
) -> Any:
    """Maps of all snippets `[batch * T, H, W, C]` -> features `[batch, C_tail]`.

    Batch normalization, the recurrent layer, its last hidden state, a 1x1 convolution back to C
    channels, a tail of its own with weights newly drawn, averaged over space.
    """
    X = UnfoldTime(num_segments, name="segments")(maps)
    X = BatchNormalization(backbone.statistics, momentum=backbone.momentum, name="non_local_bn")(X)
    H = recurrent(X)
    maps = keras.layers.Conv2D(X.shape[-1], 1, name="restore")(H)
    # A model of another name: both tails hold layers of the same names.
    own = keras.models.clone_model(backbone.tail, clone_function=_drawn_anew)
    own = keras.Model(own.input, own.output, name="non_local_tail")
    return keras.layers.GlobalAveragePooling2D(name="non_local_space")(own(maps))


def _drawn_anew(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A copy whose kernels are drawn as those of all new layers are (section 4)."""
    config = layer.get_config()
    kernels = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")
    config.update((name, "glorot_uniform") for name in kernels if name in config)
    return layer.__class__.from_config(config)


def classify(features: Any, num_classes: int, dropout: float) -> Any:
    """Features `[..., C]` -> float32 logits `[..., num_classes]`: dropout and one dense layer."""
    features = Dropout(dropout, name="dropout")(features)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)
