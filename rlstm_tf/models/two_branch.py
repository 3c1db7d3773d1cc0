"""The paper's network: a local and a non-local branch on one trunk (fig. 2, table 1)."""

from __future__ import annotations

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


def two_branch(
    backbone: Backbone,
    num_classes: int,
    num_segments: int = 8,
    dropout: float = 0.8,
    units: int | None = None,
    pairwise: str = "embedded_gaussian",
    attention_scale: float = 1.0,
    statistics: str = "population",
    momentum: float = 0.999,
) -> keras.Model:
    """Trunk on every snippet; both branches on its maps; one dense layer on both their features.

    Args:
        backbone: of `build_backbone`; its tail becomes that of the local branch, weights included,
            and a copy of it with weights newly drawn that of the non-local branch.
        num_classes: classes.
        num_segments: T, snippets a video.
        dropout: share of the features dropped before the dense layer; 0.8 for the spatial stream.
        units: channels of the Relational LSTM's state; half the trunk's if None, as in the paper.
        pairwise: of the Relational LSTM.
        attention_scale: of the Relational LSTM.
        statistics: mode of the batch normalization before the Relational LSTM.
        momentum: of its moving statistics.

    Returns:
        Model of uint8 RGB frames `[batch, T, S, S, 3]` -> float32 logits `[batch, num_classes]`.
    """
    frames = keras.Input(
        (num_segments, *backbone.trunk.input_shape[1:]), dtype="uint8", name="frames"
    )
    images = PixelScaling(backbone.scaling, name="scale")(FoldTime(name="fold")(frames))
    maps = backbone.trunk(images)
    local = local_branch(maps, backbone.tail, num_segments)
    X = UnfoldTime(num_segments, name="segments")(maps)
    X = BatchNormalization(statistics, momentum=momentum, name="non_local_bn")(X)
    non_local = non_local_branch(
        X, backbone.tail, units, pairwise=pairwise, attention_scale=attention_scale
    )
    features = keras.layers.Concatenate(name="features")([local, non_local])
    features = keras.layers.Dropout(dropout, name="dropout")(features)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)
    return keras.Model(frames, logits, name="two_branch")


def local_branch(maps: Any, tail: keras.Model, num_segments: int) -> Any:
    """Maps of all snippets `[batch * T, H, W, C]` -> features `[batch, C_tail]`.

    The tail on each snippet, averaged over space, then over time.
    """
    features = keras.layers.GlobalAveragePooling2D(name="local_space")(tail(maps))
    features = UnfoldTime(num_segments, name="local_segments")(features)
    return keras.layers.GlobalAveragePooling1D(name="local_time")(features)


def non_local_branch(X: Any, tail: keras.Model, units: int | None, **kwargs: Any) -> Any:
    """Normalised maps X_1 ... X_T `[batch, T, H, W, C]` -> features `[batch, C_tail]`.

    Relational LSTM, its last hidden state, a 1x1 convolution back to C channels, a tail of its own,
    averaged over space.
    """
    channels = X.shape[-1]
    H = RelationalLSTM(units or channels // 2, name="relational_lstm", **kwargs)(X)
    maps = keras.layers.Conv2D(channels, 1, name="restore")(H)
    # A model of another name: both tails hold layers of the same names.
    own = keras.models.clone_model(tail)
    own = keras.Model(own.input, own.output, name="non_local_tail")
    return keras.layers.GlobalAveragePooling2D(name="non_local_space")(own(maps))
