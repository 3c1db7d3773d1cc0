"""Attention maps of a trained network: the weights w_ij of eq. 2 of arXiv 1811.07059."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from rlstm_tf.choices import RELATIONAL
from rlstm_tf.compat import ops
from rlstm_tf.errors import UsageError
from rlstm_tf.layers import RelationalLSTM, RelationalLSTMCell


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of each position of each snippet, by gate.

    The positions j of `temporal` belong to H_{t-1}, which summarizes the snippets before the t-th.

    Attributes:
        spatial: w_ij of r(X_t, X_t), float32 [T, gates, N, N], gates in the order i, f, o, g.
        temporal: w_ij of r(X_t, H_{t-1}), same shape. `temporal[0]` has no meaning: H_0 = 0.
        map_shape: (H, W), with H * W = N.
        are_shares: whether the weights are positive and sum to 1 over j. False for the pairwise
            functions `dot_product` and `concatenation`.
        logits: class logits, float32 [num_classes].
    """

    spatial: np.ndarray
    temporal: np.ndarray
    map_shape: tuple[int, int]
    are_shares: bool
    logits: np.ndarray

    def peak(self, position: int | None = None) -> tuple[int, int]:
        """Returns (t, position), from 0, with the sharpest attention.

        Ranks by the largest weight, summed over gates and both kinds. Skips the first snippet,
        which has no past, unless it is the only one.

        Args:
            position: considers this position only; all if None.
        """
        first = 1 if len(self.spatial) > 1 else 0
        chosen = slice(None) if position is None else slice(position, position + 1)
        both = (self.spatial[first:, :, chosen], self.temporal[first:, :, chosen])
        largest = sum(np.abs(w).max(axis=-1).sum(axis=1) for w in both)
        t, i = np.unravel_index(np.argmax(largest), largest.shape)
        return int(t) + first, int(i) if position is None else position


def find_relational_lstm(model: keras.Model) -> RelationalLSTM | None:
    """Returns the Relational LSTM of a network, or None; the forward one if there are two."""
    return next((layer for layer in model.layers if isinstance(layer, RelationalLSTM)), None)


def require_relational_lstm(model: keras.Model) -> RelationalLSTM:
    """Returns the Relational LSTM of a network; the forward one if there are two.

    Raises:
        UsageError: the network has none.
    """
    layer = find_relational_lstm(model)
    if layer is None:
        raise UsageError(
            f"the network {model.name} has no Relational LSTM to show: "
            f"--model={' or '.join(RELATIONAL)} has one"
        )
    return layer


def compute_attention_maps(model: keras.Model, frames: np.ndarray) -> AttentionMaps:
    """Runs a network on one view of a video and computes the weights of its Relational LSTM.

    X_1 ... X_T and the logits have the network's precision; the weights are computed from
    X_1 ... X_T in the precision of its variables.

    Args:
        model: network of `rlstm_tf.models`.
        frames: uint8 [T, S, S, channels].

    Raises:
        UsageError: the network has no Relational LSTM.
        FloatingPointError: a logit or a weight is not finite.
    """
    layer = require_relational_lstm(model)
    cell = layer.cell
    X, logits = keras.Model(model.input, [layer.input, model.output])(frames[None], training=False)
    X = ops.cast(X[0], cell.variable_dtype)
    states = ops.concatenate([H for H, _ in run_cell(cell, X[None])], axis=0)
    spatial, temporal = cell.attention_weights(X, states)
    if not all(np.isfinite(values).all() for values in (logits, spatial, temporal)):
        raise FloatingPointError("the network computes numbers that are not finite")
    return AttentionMaps(
        spatial=np.asarray(spatial, np.float32),
        temporal=np.asarray(temporal, np.float32),
        map_shape=cell.map_shape,
        are_shares=cell.pairwise == "embedded_gaussian",
        logits=np.asarray(logits[0], np.float32),
    )


def run_cell(cell: RelationalLSTMCell, X: Any) -> Iterator[tuple[Any, Any]]:
    """Runs a cell over a sequence from H_0 = C_0 = 0.

    Args:
        cell: cell, built.
        X: X_1 ... X_T, `[batch, T, H, W, C]` or `[batch, T, N, C]`.

    Yields:
        For t = 1 ... T: H_{t-1} and the gates (i_t, f_t, o_t, g_t), each `[batch, N, units]`.
    """
    r_x, theta_h = ops.unstack(cell.relate(X), axis=2)
    H = C = ops.zeros_like(r_x[:, 0, 0])
    for t in range(X.shape[1]):
        next_H, C, gates = cell.step(r_x[:, t], theta_h[:, t], H, C)
        yield H, gates
        H = next_H
