"""Scalars of a run."""

from __future__ import annotations

import keras
import tensorflow as tf

from rlstm_tf.summaries.events import Events

Logs = dict[str, float]


class Scalars(keras.callbacks.Callback):
    """Writes scalars over optimizer steps: `train/*` as read, `epoch/*` and `val/*` by epoch.

    Args:
        events: event files to write to.
    """

    def __init__(self, events: Events) -> None:
        super().__init__()
        self.events = events

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes the scalars that the loop has read from the device, if any."""
        if logs:
            self._write({f"train/{name}": value for name, value in logs.items()})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the epoch's scalars."""
        tags = {}
        for name, value in (logs or {}).items():
            group, _, rest = name.partition("_")
            tags[f"val/{rest}" if group == "val" else f"epoch/{name}"] = value
        self._write(tags)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the files; no callback writes after this."""
        self.events.close()

    def _write(self, tags: Logs) -> None:
        with self.events.recording():
            for tag, value in tags.items():
                tf.summary.scalar(tag, value)
