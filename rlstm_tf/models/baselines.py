"""What the paper compares its network with (tables 2, 4 and 8): its parts alone, and its peers.

Each takes the arguments of `two_branch` and gives a model of the same input and output.
"""

from __future__ import annotations

import keras

from rlstm_tf import addons
from rlstm_tf.compat import unrolled_conv_lstm
from rlstm_tf.layers import UnfoldTime
from rlstm_tf.models.backbone import Backbone
from rlstm_tf.models.branches import (
    Recurrence,
    classify,
    local_branch,
    local_features,
    non_local_branch,
    snippets,
)
from rlstm_tf.models.two_branch import both_branches

# Of every new layer (section 4). Keras's own choice for recurrent kernels, an orthogonal matrix,
# takes half a minute to draw for a convolution of 1,024 channels.
NEW = "glorot_uniform"


def rlstm(
    backbone: Backbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    recurrence: Recurrence,
) -> keras.Model:
    """The network without the local branch, "R-LSTM" in table 4."""
    frames, maps = snippets(backbone, num_segments)
    recurrent = recurrence.relational_lstm(maps.shape[-1])
    features = non_local_branch(maps, backbone, num_segments, recurrent)
    return keras.Model(frames, classify(features, num_classes, dropout), name="rlstm")


def local(
    backbone: Backbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    recurrence: Recurrence,
) -> keras.Model:
    """The network without the non-local branch (table 4): features averaged over the snippets."""
    del recurrence  # nothing recurs
    frames, maps = snippets(backbone, num_segments)
    features = local_branch(maps, backbone.tail, num_segments)
    return keras.Model(frames, classify(features, num_classes, dropout), name="local")


def tsn(
    backbone: Backbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    recurrence: Recurrence,
) -> keras.Model:
    """Temporal Segment Network: class scores of each snippet, averaged over the snippets.

    Source: Wang et al., ECCV 2016, segment consensus by averaging, before the softmax.
    """
    del recurrence  # nothing recurs
    frames, maps = snippets(backbone, num_segments)
    scores = classify(local_features(maps, backbone.tail), num_classes, dropout)
    scores = UnfoldTime(num_segments, dtype="float32", name="score_segments")(scores)
    scores = keras.layers.GlobalAveragePooling1D(dtype="float32", name="consensus")(scores)
    return keras.Model(frames, scores, name="tsn")


def lstm(
    backbone: Backbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    recurrence: Recurrence,
) -> keras.Model:
    """An LSTM over the pooled features of trunk and tail; its last state is classified.

    Its state has as many channels as the Relational LSTM's. Its cell may be one of
    tensorflow-addons: with layer normalization (Ba et al., arXiv 1607.06450), or with peepholes
    (Gers and Schmidhuber, 2000).

    Raises:
        UsageError: there is no tensorflow-addons for such a cell.
    """
    frames, maps = snippets(backbone, num_segments)
    features = local_features(maps, backbone.tail)
    features = UnfoldTime(num_segments, name="local_segments")(features)
    units = recurrence.state(maps.shape[-1])
    if recurrence.lstm_cell == "standard":
        recurrent = keras.layers.LSTM(units, recurrent_initializer=NEW, unroll=True, name="lstm")
    else:
        cell = addons.lstm_cell(recurrence.lstm_cell, units, recurrent_initializer=NEW)
        recurrent = keras.layers.RNN(cell, unroll=True, name="lstm")
    state = recurrent(features)
    return keras.Model(frames, classify(state, num_classes, dropout), name="lstm")


def convlstm(
    backbone: Backbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    recurrence: Recurrence,
) -> keras.Model:
    """The two-branch network with a convolutional LSTM in place of the Relational LSTM.

    3x3, with a state of the same size.
    """
    frames, maps = snippets(backbone, num_segments)
    recurrent = unrolled_conv_lstm(
        recurrence.state(maps.shape[-1]),
        kernel_size=3,
        padding="same",
        recurrent_initializer=NEW,
        name="conv_lstm",
    )
    features = both_branches(maps, backbone, num_segments, recurrent)
    return keras.Model(frames, classify(features, num_classes, dropout), name="convlstm")
