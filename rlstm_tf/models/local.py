"""The paper's network without the non-local branch (table 4)."""

from __future__ import annotations

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import classification_head, encode_snippets, local_branch


def local(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Classifies features averaged over the snippets; arguments and result as `two_branch`."""
    frames, maps = encode_snippets(backbone, config)
    features = local_branch(maps, backbone, config)
    return keras.Model(frames, classification_head(features, config, num_classes), name="local")
