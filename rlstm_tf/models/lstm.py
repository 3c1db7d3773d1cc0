"""An LSTM over each snippet's pooled features."""

from __future__ import annotations

import keras

from rlstm_tf import addons
from rlstm_tf.layers import UnfoldTime
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    INITIALIZER,
    classification_head,
    encode_snippets,
    local_features,
)


def lstm(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Classifies the last state of an LSTM; arguments and result as `two_branch`.

    The state has as many channels as the Relational LSTM's. For cells other than Keras's, see
    `addons.lstm_cell`.

    Raises:
        UsageError: the cell needs tensorflow-addons, which cannot be imported.
    """
    frames, maps = encode_snippets(backbone, config)
    features = local_features(maps, backbone.tail)
    features = UnfoldTime(config.num_segments, name="local_segments")(features)
    units, options = config.state_size(maps.shape[-1]), {"recurrent_initializer": INITIALIZER}
    if config.lstm_cell == "standard":
        recurrent = keras.layers.LSTM(units, unroll=True, name="lstm", **options)
    else:
        cell = addons.lstm_cell(config.lstm_cell, units, **options)
        recurrent = keras.layers.RNN(cell, unroll=True, name="lstm")
    state = recurrent(features)
    return keras.Model(frames, classification_head(state, config, num_classes), name="lstm")
