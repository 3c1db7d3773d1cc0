"""The two-branch network with a convolutional LSTM in place of the Relational LSTM."""

from __future__ import annotations

import functools

import keras

from rlstm_tf.compat import unrolled_conv_lstm
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    INITIALIZER,
    both_branches,
    classification_head,
    encode_snippets,
    in_directions,
)


def convlstm(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Uses 3x3 kernels and a state of the same size; arguments and result as `two_branch`."""
    frames, maps = encode_snippets(backbone, config)
    layer = functools.partial(
        unrolled_conv_lstm, kernel_size=3, padding="same", recurrent_initializer=INITIALIZER
    )
    recurrent = in_directions(layer, "conv_lstm", config, maps.shape[-1])
    features = both_branches(maps, backbone, config, recurrent)
    return keras.Model(frames, classification_head(features, config, num_classes), name="convlstm")
