"""A run's event files, which the callbacks of this package share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.summaries.event_files import cut_back, events_written
from rlstm_tf.training.state import TrainState

# The part of a tag before its "/" says when it is written: after steps, after epochs, or once by
# every process.
_OF_EPOCHS = ("epoch", "val", "images", "gates")
_OF_PROCESSES = ("_hparams_",)


class Events:
    """Event files, cut back to where the run goes on.

    Args:
        directory: of the files; what they say of steps and epochs that are about to be run again
            is dropped, and what every process writes anew. What others have written stays.
        epochs: where they end.
        state: progress of the run; events are written at its step.
    """

    def __init__(self, directory: Path, epochs: EpochSchedule, state: TrainState) -> None:
        last = {"train": state.step}
        last.update(dict.fromkeys(_OF_EPOCHS, epochs.end_step(state.epoch - 1)))

        def keep(tag: str, step: int) -> bool:
            group = tag.split("/")[0]
            return group not in _OF_PROCESSES and step <= last.get(group, step)

        cut_back(directory, keep)
        self.directory = directory
        self.state = state
        with events_written(directory):
            self._writer = tf.summary.create_file_writer(str(directory))

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """What `tf.summary` is given in this context is on the disk after it.

        So it is there before a checkpoint that comes after it.

        Raises:
            DataError: it cannot be written.
        """
        with events_written(self.directory):
            with self._writer.as_default(step=self.state.step):
                yield
            self._writer.flush()

    def close(self) -> None:
        """Closes the files.

        Raises:
            DataError: what they lack cannot be written.
        """
        with events_written(self.directory):
            self._writer.close()
