"""Event files of a run, shared by the callbacks of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.summaries.event_files import truncate_events, wrap_write_errors
from rlstm_tf.training.state import TrainState

# Groups of tags (before the "/") that are written after each epoch, and at each start.
_EPOCH_GROUPS = ("epoch", "val", "images", "gates")
_START_GROUPS = ("_hparams_",)


class Events:
    """Event files, truncated at the step where the run resumes.

    Args:
        directory: directory of the files. Events of later steps and epochs are dropped, and those
            that each start writes. Events of other programs stay.
        epochs: schedule of the epochs.
        state: progress of the run; events are written at its step.
    """

    def __init__(self, directory: Path, epochs: EpochSchedule, state: TrainState) -> None:
        last = {"train": state.step}
        last.update(dict.fromkeys(_EPOCH_GROUPS, epochs.end_step(state.epoch - 1)))

        def keep(tag: str, step: int) -> bool:
            group = tag.split("/")[0]
            return group not in _START_GROUPS and step <= last.get(group, step)

        truncate_events(directory, keep)
        self.directory = directory
        self.state = state
        with wrap_write_errors(directory):
            self._writer = tf.summary.create_file_writer(str(directory))

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records the calls of `tf.summary` in this context, and flushes them at its end.

        A later checkpoint therefore never precedes its events.

        Raises:
            DataError: the files cannot be written.
        """
        with wrap_write_errors(self.directory):
            with self._writer.as_default(step=self.state.step):
                yield
            self._writer.flush()

    def close(self) -> None:
        """Closes the files.

        Raises:
            DataError: the files cannot be written.
        """
        with wrap_write_errors(self.directory):
            self._writer.close()
