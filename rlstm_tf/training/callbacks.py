"""Keras callbacks that show and save the progress of a run."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.messages import say
from rlstm_tf.runs.checkpoints import Checkpoints
from rlstm_tf.storage.atomic import write_atomic, writing
from rlstm_tf.training.selection import best_epoch
from rlstm_tf.training.state import TrainState
from rlstm_tf.training.validation import Validation

Logs = dict[str, float]


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar per epoch on a terminal, and prints a line at its end.

    Args:
        num_epochs: epochs of the whole run.
        epochs: first and last steps of the epochs.
        state: progress of the run.
    """

    def __init__(self, num_epochs: int, epochs: EpochSchedule, state: TrainState) -> None:
        super().__init__()
        self.num_epochs = num_epochs
        self.epochs = epochs
        self.state = state
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the bar, at the resumed step if there is one."""
        size = self.epochs.batch_size
        self.bar = progress_bar(
            self.epochs.num_steps(epoch) * size,
            f"epoch {epoch + 1}/{self.num_epochs}",
            "videos",
            leave=False,
            initial=(self.state.step - self.epochs.end_step(epoch - 1)) * size,
        )

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Advances the bar."""
        self.bar.update(self.epochs.batch_size)
        if logs:
            # The bar's next refresh shows them.
            values = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy")}
            self.bar.set_postfix(values, refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Closes the bar and prints the epoch's metrics."""
        self.bar.close()
        values = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in (logs or {}).items()]
        say(f"epoch {epoch + 1}/{self.num_epochs}: {', '.join(values)}")

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Closes the bar of an epoch that did not end."""
        if self.bar is not None:
            self.bar.close()


class HistoryWriter(keras.callbacks.Callback):
    """Writes `history.csv`, a row per epoch.

    Args:
        path: the table. It is never read: checkpoints hold its rows.
        state: progress of the run.
    """

    def __init__(self, path: Path, state: TrainState) -> None:
        super().__init__()
        self.path = path
        self.state = state

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Rewrites the table atomically."""
        rows = self.state.history
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
        with writing(self.path):
            write_atomic(self.path, text.getvalue().encode())


class BestScores(keras.callbacks.Callback):
    """Keeps the scores of the best epoch, which a run with `--patience` stands for.

    Args:
        validation: scores the validation set, V videos, at the end of each epoch.
        state: progress of the run.

    Attributes:
        logits: float32 `[V, classes]`; `[V, 0]` while no epoch of this process is the best one.
    """

    def __init__(self, validation: Validation, state: TrainState) -> None:
        super().__init__()
        self.validation, self.state = validation, state
        self.logits = validation.logits

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keeps the scores of an epoch that is better than all before."""
        if best_epoch(self.state.history) == self.state.epoch:
            self.logits = self.validation.logits


class CheckpointSaver(keras.callbacks.Callback):
    """Saves a checkpoint after every epoch and at intervals, and keeps the best one.

    The best checkpoint has the highest validation accuracy or mAP.

    Args:
        checkpoints: the run's checkpoints.
        variables: what to save, by name.
        state: progress of the run.
        every_steps: steps between checkpoints within an epoch; None = no limit.
        every_seconds: seconds between checkpoints within an epoch; None = no limit.
        on_saved: called after each checkpoint.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        variables: Mapping[str, Any],
        state: TrainState,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        on_saved: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.on_saved = on_saved
        self.checkpoints = checkpoints
        self.variables = variables
        self.state = state
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self._last_save = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Saves a checkpoint that is due."""
        steps, seconds = self.every_steps, self.every_seconds
        late = seconds is not None and time.monotonic() - self._last_save >= seconds
        if late or (steps is not None and self.state.step % steps == 0):
            self.save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves a checkpoint, as the best one if its score is higher."""
        self.save(best_epoch(self.state.history) == self.state.epoch)

    def save(self, best: bool = False) -> None:
        """Saves a checkpoint now.

        Args:
            best: save it as the best one too.

        Raises:
            DataError: the checkpoint cannot be written.
            FloatingPointError: a weight is not finite; nothing is saved.
        """
        self.state.sync()
        state = {name: variable.numpy() for name, variable in self.variables.items()}
        bad = [name for name, value in state.items() if not np.isfinite(value).all()]
        if bad:
            raise FloatingPointError(f"{bad[0]} is not finite after step {self.state.step}")
        self.checkpoints.save(self.state.step, state, self.state.to_dict(), best)
        self.on_saved()
        self._last_save = time.monotonic()
        self.state.start_clock()
