"""What a run leaves behind while it trains, as Keras callbacks."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data.batch_schedule import Epochs
from rlstm_tf.runs.checkpoints import Checkpoints, variables_of
from rlstm_tf.storage.atomic import write_whole, writing
from rlstm_tf.training.state import Position

Logs = dict[str, float]


class Progress(keras.callbacks.Callback):
    """A bar an epoch on a terminal, with rate and time left, and a line when it is over.

    Args:
        num_epochs: of the whole run.
        epochs: where they end.
        position: of the run.
    """

    def __init__(self, num_epochs: int, epochs: Epochs, position: Position) -> None:
        super().__init__()
        self.num_epochs = num_epochs
        self.epochs = epochs
        self.position = position
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the epoch's bar, where the epoch goes on."""
        size = self.epochs.batch_size
        self.bar = progress_bar(
            self.epochs.steps(epoch) * size,
            f"epoch {epoch + 1}/{self.num_epochs}",
            "videos",
            leave=False,
            initial=(self.position.step - self.epochs.end(epoch - 1)) * size,
        )

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        self.bar.update(self.epochs.batch_size)
        if logs:
            # Shown with the bar's next line, not each in one of its own.
            values = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy")}
            self.bar.set_postfix(values, refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Prints the epoch's line."""
        self.bar.close()
        values = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in (logs or {}).items()]
        print(f"epoch {epoch + 1}/{self.num_epochs}: {', '.join(values)}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Takes away the bar of an epoch that did not end."""
        if self.bar is not None:
            self.bar.close()


class History(keras.callbacks.Callback):
    """`history.csv`: a row an epoch.

    Args:
        path: of the table, which is never read: checkpoints hold its rows.
        position: of the run.
    """

    def __init__(self, path: Path, position: Position) -> None:
        super().__init__()
        self.path = path
        self.position = position

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the table anew, beside its place, and renames it."""
        rows = self.position.history
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
        with writing(self.path):
            write_whole(self.path, text.getvalue().encode())


class Saving(keras.callbacks.Callback):
    """A checkpoint after every epoch, and between; the best one by validation accuracy or mAP.

    Args:
        checkpoints: where they go.
        optimizer: saved along with the model.
        position: of the run.
        best: best validation score of the run so far, None if there is none.
        every_steps: a checkpoint after every so many steps too; None = not.
        every_seconds: a checkpoint when so many seconds have passed since the last; None = not.
        saved: called after each checkpoint.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        optimizer: keras.optimizers.Optimizer,
        position: Position,
        best: float | None,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.saved = saved
        self.checkpoints = checkpoints
        self.optimizer = optimizer
        self.position = position
        self.best = best
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self._saved = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Saves where it is time to."""
        steps, seconds = self.every_steps, self.every_seconds
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        if late or (steps is not None and self.position.step % steps == 0):
            self.save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves."""
        logs = logs or {}
        score = logs.get("val_accuracy", logs.get("val_map"))
        # NaN, a mean average precision over no video, is no score.
        if score is not None and math.isnan(score):
            score = None
        better = score is not None and (self.best is None or score > self.best)
        if better:
            self.best = score
        self.save(better)

    def save(self, best: bool = False) -> None:
        """Saves the run as it is now.

        Args:
            best: it has the best validation score so far.

        Raises:
            DataError: it cannot be written.
            FloatingPointError: a weight is no number; nothing is saved.
        """
        self.position.settle()
        variables = variables_of(self.model, self.optimizer)
        state = {name: variable.numpy() for name, variable in variables.items()}
        bad = [name for name, value in state.items() if not np.isfinite(value).all()]
        if bad:
            raise FloatingPointError(f"{bad[0]} holds no numbers after step {self.position.step}")
        info = {**self.position.to_info(), "best": self.best}
        self.checkpoints.save(self.position.step, state, info, best)
        self.saved()
        self._saved = time.monotonic()
        self.position.start_clock()
