"""Where the Relational LSTM of a trained network looks: w_ij of eq. 2 of arXiv 1811.07059."""

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
class Relations:
    """What each position of each snippet takes from where, gate by gate.

    The positions j of `temporal` are those of H_{t-1}, which sums up all snippets before the t-th.

    Attributes:
        spatial: w_ij of r(X_t, X_t), float32 [T, gates, N, N], for i, f, o, g.
        temporal: w_ij of r(X_t, H_{t-1}), likewise. H_0 = 0: what [0] holds says nothing of a past.
        map_shape: (H, W), H * W = N.
        are_shares: the weights are positive and add up to 1 over j; those of the pairwise functions
            `dot_product` and `concatenation` are not and do not.
        logits: of the classes, float32 [num_classes].
    """

    spatial: np.ndarray
    temporal: np.ndarray
    map_shape: tuple[int, int]
    are_shares: bool
    logits: np.ndarray

    def peak(self, position: int | None = None) -> tuple[int, int]:
        """(t, position), from 0, where there is most to see: relations that are the least spread.

        The largest weight of each relation, added up over gates and both kinds; not of the first
        snippet if there are others, since that has no past.

        Args:
            position: look there alone; everywhere if None.
        """
        first = 1 if len(self.spatial) > 1 else 0
        places = slice(None) if position is None else slice(position, position + 1)
        both = (self.spatial[first:, :, places], self.temporal[first:, :, places])
        largest = sum(np.abs(w).max(axis=-1).sum(axis=1) for w in both)
        t, place = np.unravel_index(np.argmax(largest), largest.shape)
        return int(t) + first, int(place) if position is None else position


def relational_lstm_of(model: keras.Model) -> RelationalLSTM | None:
    """The Relational LSTM of a network of `rlstm_tf.models`, if any; of two, the one ahead."""
    found = [layer for layer in model.layers if isinstance(layer, RelationalLSTM)]
    return found[0] if found else None


def relational_lstm(model: keras.Model) -> RelationalLSTM:
    """The Relational LSTM of a network of `rlstm_tf.models`.

    Raises:
        UsageError: it has none.
    """
    layer = relational_lstm_of(model)
    if layer is None:
        raise UsageError(
            f"the network {model.name} has no Relational LSTM, so there are no relations to see: "
            f"--model={' or '.join(RELATIONAL)} has one"
        )
    return layer


def relations(model: keras.Model, frames: np.ndarray) -> Relations:
    """Runs a network on one view of a video, and keeps what its Relational LSTM looks at.

    The network gives X_1 ... X_T and the logits in its own precision; the weights are computed from
    X_1 ... X_T in that of its variables.

    Args:
        model: of `rlstm_tf.models`.
        frames: uint8 [T, S, S, channels].

    Raises:
        UsageError: the network has no Relational LSTM.
        FloatingPointError: what it computes is not finite.
    """
    layer = relational_lstm(model)
    cell = layer.cell
    X, logits = keras.Model(model.input, [layer.input, model.output])(frames[None], training=False)
    X = ops.cast(X[0], cell.variable_dtype)
    states = ops.concatenate([H for H, _ in steps(cell, X[None])], axis=0)
    spatial, temporal = cell.attention_weights(X, states)
    if not all(np.isfinite(found).all() for found in (logits, spatial, temporal)):
        raise FloatingPointError("the network computes numbers that are not finite")
    return Relations(
        spatial=np.asarray(spatial, np.float32),
        temporal=np.asarray(temporal, np.float32),
        map_shape=cell.map_shape,
        are_shares=cell.pairwise == "embedded_gaussian",
        logits=np.asarray(logits[0], np.float32),
    )


def steps(cell: RelationalLSTMCell, X: Any) -> Iterator[tuple[Any, Any]]:
    """Runs a cell over a sequence from H_0 = C_0 = 0.

    Args:
        cell: cell of a built layer.
        X: X_1 ... X_T, `[batch, T, H, W, C]` or `[batch, T, N, C]`.

    Yields:
        For t = 1 ... T H_{t-1} and the gates (i_t, f_t, o_t, g_t), each `[batch, N, units]`.
    """
    r_x, theta_h = ops.unstack(cell.relate(X), axis=2)
    H = C = ops.zeros_like(r_x[:, 0, 0])
    for t in range(X.shape[1]):
        next_H, C, gates = cell.step(r_x[:, t], theta_h[:, t], H, C)
        yield H, gates
        H = next_H
