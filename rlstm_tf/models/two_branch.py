"""The paper's network: a local and a non-local branch on one trunk (fig. 2, table 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    PAPER,
    Recurrence,
    classify,
    local_branch,
    non_local_branch,
    snippets,
)


def two_branch(
    backbone: Backbone,
    num_classes: int,
    num_segments: int = 8,
    dropout: float = 0.8,
    recurrence: Recurrence = PAPER,
) -> keras.Model:
    """Trunk on every snippet; both branches on its maps; one dense layer on both their features.

    Args:
        backbone: of `build_backbone`; its tail becomes that of the local branch, weights included,
            and a copy of it with weights newly drawn that of the non-local branch.
        num_classes: classes.
        num_segments: T, snippets a video.
        dropout: share of the features dropped before the dense layer; 0.8 for the spatial stream,
            0.7 for the temporal one.
        recurrence: options of the Relational LSTM.

    Returns:
        Model of uint8 snippets `[batch, T, S, S, channels]` -> float32 logits
        `[batch, num_classes]`.
    """
    frames, maps = snippets(backbone, num_segments)
    recurrent = recurrence.relational_lstm(maps.shape[-1])
    features = both_branches(maps, backbone, num_segments, recurrent)
    return keras.Model(frames, classify(features, num_classes, dropout), name="two_branch")


def both_branches(
    maps: Any, backbone: Backbone, num_segments: int, recurrent: Callable[[Any], Any]
) -> Any:
    """Maps `[batch * T, H, W, C]` -> features of the local, then of the non-local branch."""
    local = local_branch(maps, backbone.tail, num_segments)
    non_local = non_local_branch(maps, backbone, num_segments, recurrent)
    return keras.layers.Concatenate(name="features")([local, non_local])
