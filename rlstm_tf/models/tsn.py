"""Temporal Segment Network (Wang et al., ECCV 2016), with the average as segment consensus."""

from __future__ import annotations

import keras

from rlstm_tf.layers import UnfoldTime
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import classification_head, encode_snippets, local_features


def tsn(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Averages the logits of the snippets; arguments and result as `two_branch`."""
    frames, maps = encode_snippets(backbone, config)
    logits = classification_head(local_features(maps, backbone.tail), config, num_classes)
    logits = UnfoldTime(config.num_segments, dtype="float32", name="score_segments")(logits)
    logits = keras.layers.GlobalAveragePooling1D(dtype="float32", name="consensus")(logits)
    return keras.Model(frames, logits, name="tsn")
