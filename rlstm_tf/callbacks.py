"""What a run leaves behind while it trains, as Keras callbacks."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.checkpoints import Checkpoints, variables_of
from rlstm_tf.progress import bar

Logs = dict[str, float]


class Progress(keras.callbacks.Callback):
    """A bar an epoch on a terminal, with rate and time left, and a line when it is over.

    Args:
        epochs: of the whole run.
        steps_per_epoch: steps in an epoch.
        batch_size: videos a step.
    """

    def __init__(self, epochs: int, steps_per_epoch: int, batch_size: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the epoch's bar."""
        videos = self.steps_per_epoch * self.batch_size
        self.bar = bar(videos, f"epoch {epoch + 1}/{self.epochs}", "videos", leave=False)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        self.bar.update(self.batch_size)
        if logs:
            # Shown with the bar's next line, not each in one of its own.
            values = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy")}
            self.bar.set_postfix(values, refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Prints the epoch's line."""
        self.bar.close()
        values = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in (logs or {}).items()]
        print(f"epoch {epoch + 1}/{self.epochs}: {', '.join(values)}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Takes away the bar of an epoch that did not end."""
        if self.bar is not None:
            self.bar.close()


class History(keras.callbacks.Callback):
    """`history.csv`: a row an epoch.

    Args:
        path: of the table; rows of epochs that are about to be run again are dropped from it.
        first_epoch: the first that will be run, counted from 0.
    """

    def __init__(self, path: Path, first_epoch: int) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [
                    row for row in csv.DictReader(file) if int(row["epoch"]) <= first_epoch
                ]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the table anew, beside its place, and renames it."""
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[-1]))
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


class TensorBoard(keras.callbacks.Callback):
    """Scalars over optimizer steps: `train/*` as they are read, `epoch/*` and `val/*` by epoch.

    Args:
        directory: of the event files.
        steps_per_epoch: steps in an epoch.
    """

    def __init__(self, directory: Path, steps_per_epoch: int) -> None:
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(directory))
        self.steps_per_epoch = steps_per_epoch
        self.epoch = 0
        self.last: Logs | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remembers which epoch it is."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes what the loop has read from the device since the last time."""
        if logs and logs != self.last:
            self._write("train", logs, self.epoch * self.steps_per_epoch + batch + 1)
            self.last = dict(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the epoch's scalars."""
        step = (epoch + 1) * self.steps_per_epoch
        for name, value in (logs or {}).items():
            group, _, rest = name.partition("_")
            self._write(
                "val" if group == "val" else "epoch",
                {rest if group == "val" else name: value},
                step,
            )
        self.writer.flush()

    def _write(self, group: str, values: Logs, step: int) -> None:
        with self.writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)


class Saving(keras.callbacks.Callback):
    """A checkpoint after every epoch, and the best one by validation accuracy or mAP.

    Args:
        checkpoints: where they go.
        optimizer: saved along with the model.
        steps_per_epoch: steps in an epoch.
        best: best validation score of the run so far, None if there is none.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        optimizer: keras.optimizers.Optimizer,
        steps_per_epoch: int,
        best: float | None,
    ) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.optimizer = optimizer
        self.steps_per_epoch = steps_per_epoch
        self.best = best

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
        variables = variables_of(self.model, self.optimizer)
        state = {name: variable.numpy() for name, variable in variables.items()}
        info = {"epoch": epoch + 1, "best": self.best}
        self.checkpoints.save((epoch + 1) * self.steps_per_epoch, state, info, best=better)
