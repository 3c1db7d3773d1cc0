"""The paper's network: a local and a non-local branch on one trunk (fig. 2, table 1)."""

from __future__ import annotations

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    both_branches,
    classification_head,
    encode_snippets,
    relational_lstm,
)


def two_branch(backbone: Backbone, config: ModelConfig, num_classes: int) -> keras.Model:
    """Builds both branches on the trunk's maps, and one dense layer on both their features.

    Args:
        backbone: see `build_backbone`. The local branch takes its tail, weights included, the
            non-local branch a reinitialized copy.
        config: options. The paper's dropout is 0.8 in the spatial stream, 0.7 in the temporal one.
        num_classes: length of the logits.

    Returns:
        Model of uint8 snippets `[batch, T, S, S, channels]` -> float32 logits
        `[batch, num_classes]`.
    """
    frames, maps = encode_snippets(backbone, config)
    recurrent = relational_lstm(config, maps.shape[-1])
    features = both_branches(maps, backbone, config, recurrent)
    return keras.Model(
        frames, classification_head(features, config, num_classes), name="two_branch"
    )
