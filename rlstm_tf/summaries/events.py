"""Event files of a run, truncated at the step where it resumes and shared by the callbacks."""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import PARTIAL, cannot_write, sync_file, writing
from rlstm_tf.storage.creation import create_file
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


@contextlib.contextmanager
def wrap_write_errors(directory: Path) -> Iterator[None]:
    """Turns TensorFlow's write errors into a DataError, like `writing`."""
    try:
        yield
    except tf.errors.OpError as error:
        # "{{node ...}} path; No space left on device [Op:...]", then lines of context.
        reason = error.message.splitlines()[0].partition(" [Op:")[0].rpartition("}} ")[2]
        reason = reason.rpartition("; ")[2]
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        raise cannot_write(directory, OSError(errno.ENOSPC if full else 0, reason)) from None


def truncate_events(directory: Path, keep: Callable[[str, int], bool]) -> None:
    """Drops the events of a run that it will write again, so that no point appears twice.

    Also drops the graph, which each start writes, and an incomplete event at the end of a file.

    Args:
        directory: directory of the files; need not exist.
        keep: returns whether to keep an event, from its tag and step.

    Raises:
        DataError: the files cannot be written; they stay unchanged.
    """
    for path in sorted(directory.glob("events.out.tfevents.*")):
        # TensorBoard reads any file with its own name in the file's name.
        partial = directory / ("cut" + PARTIAL)
        with writing(path):
            create_file(partial).close()  # TensorFlow would follow a link
        try:
            with wrap_write_errors(path), tf.io.TFRecordWriter(str(partial)) as writer:
                for event in _events(path):
                    tags = [value.tag for value in event.summary.value]
                    if event.graph_def or not all(keep(tag, event.step) for tag in tags):
                        continue
                    writer.write(event.SerializeToString())
            with writing(path):
                sync_file(partial)
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _events(path: Path) -> Iterator[Event]:
    records = iter(tf.data.TFRecordDataset(str(path)))
    for count in itertools.count():
        try:
            yield Event.FromString(next(records).numpy())
        except StopIteration:
            return
        except (tf.errors.DataLossError, DecodeError):
            say(f"warning: {path} is cut short or damaged: only its first {count} events are kept")
            return
