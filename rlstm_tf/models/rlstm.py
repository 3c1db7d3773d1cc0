"""The paper's network without the local branch: "R-LSTM" in table 4."""

from __future__ import annotations

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    classification_head,
    encode_snippets,
    non_local_branch,
    relational_lstm,
)


def rlstm(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Builds the non-local branch alone; arguments and result as `two_branch`."""
    frames, maps = encode_snippets(backbone, config)
    recurrent = relational_lstm(config, maps.shape[-1])
    features = non_local_branch(maps, backbone, config, recurrent)
    return keras.Model(frames, classification_head(features, config, num_classes), name="rlstm")
