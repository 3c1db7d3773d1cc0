"""Histograms of the gates of the Relational LSTM (eq. 3)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram.metadata import create_summary_metadata

from rlstm_tf.attention.maps import run_cell
from rlstm_tf.data.batches import evaluation_example
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.layers import RelationalLSTM
from rlstm_tf.layers.relational_lstm_cell import GATES
from rlstm_tf.summaries.events import Events

_NUM_VIDEOS = 4
_BINS = 30
_RANGES = {"i": (0, 1), "f": (0, 1), "o": (0, 1), "g": (-1, 1)}
_WORDS = {"i": "input gate i", "f": "forget gate f", "o": "output gate o", "g": "cell input g"}


def gate_activations(layer: RelationalLSTM, X: np.ndarray) -> dict[str, np.ndarray]:
    """Computes the gates of eq. 3 over a sequence, from H_0 = C_0 = 0, in float32.

    Args:
        layer: layer, built.
        X: X_1 ... X_T, `[batch, T, H, W, C]` or `[batch, T, N, C]`.

    Returns:
        `i`, `f`, `o` and `g`, each `[batch, T, N, units]`.
    """
    gates = [gates for _, gates in run_cell(layer.cell, tf.cast(X, tf.float32))]
    return {name: np.stack(gate, axis=1) for name, gate in zip(GATES, zip(*gates))}


class Gates(keras.callbacks.Callback):
    """Writes histograms of the gates on a few fixed videos after every epoch.

    Args:
        events: event files to write to.
        layer: Relational LSTM of the network in training.
        shards: shards to take the videos from.
        config: input configuration.
    """

    def __init__(
        self, events: Events, layer: RelationalLSTM, shards: Shards, config: InputConfig
    ) -> None:
        super().__init__()
        self.events, self.layer = events, layer
        self.shards, self.config = shards, config

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Builds the network up to the layer."""
        self._maps = keras.Model(self.model.input, self.layer.input)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes a histogram for each gate."""
        # One by one, since the size of the device's memory is unknown here.
        found = [
            gate_activations(self.layer, self._maps(video[None], training=False))
            for video in self._videos()
        ]
        with self.events.recording():
            for gate in GATES:
                values = np.concatenate([activations[gate] for activations in found])
                _write_histogram(f"gates/{gate}", values, _RANGES[gate], _WORDS[gate])

    def _videos(self) -> np.ndarray:
        """Loads videos spread over the set, which may be sorted by class: uint8 [V, T, S, S, C]."""
        count = min(_NUM_VIDEOS, len(self.shards))
        positions = np.linspace(0, len(self.shards) - 1, count).astype(int).tolist()
        examples = [evaluation_example(self.shards, self.config, p) for p in positions]
        return np.concatenate([example["frames"] for example in examples])


def _write_histogram(
    tag: str, values: np.ndarray, value_range: tuple[float, float], description: str
) -> None:
    # tf.summary.histogram uses 240 bytes of memory for each value.
    counts, edges = np.histogram(values, _BINS, value_range)
    buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    tf.summary.write(
        tag,
        tf.constant(buckets, tf.float64),
        metadata=create_summary_metadata(display_name=None, description=description),
    )
