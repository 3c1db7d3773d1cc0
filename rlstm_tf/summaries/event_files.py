"""TensorBoard's event files, cut back to where a run goes on, so that no point is there twice."""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event

from rlstm_tf.storage.atomic import PARTIAL, cannot_write, sync_file, writing


@contextlib.contextmanager
def events_written(directory: Path) -> Iterator[None]:
    """Turns TensorFlow's error for a file that it cannot write into a DataError, as `writing`."""
    try:
        yield
    except tf.errors.OpError as error:
        # "{{node ...}} path; No space left on device [Op:...]", and below what it was doing.
        reason = error.message.splitlines()[0].partition(" [Op:")[0].rpartition("}} ")[2]
        reason = reason.rpartition("; ")[2]
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        raise cannot_write(directory, OSError(errno.ENOSPC if full else 0, reason)) from None


def cut_back(directory: Path, keep: Callable[[str, int], bool]) -> None:
    """Drops what the event files of a run say that is about to be written again.

    The graph is dropped, of which a run has one, and what a killed process has left half-written at
    the end of a file.

    Args:
        directory: of the files; need not be there.
        keep: of the tag and step of a scalar, an image, a histogram.

    Raises:
        DataError: they cannot be written; they are as they were.
    """
    for path in sorted(directory.glob("events.out.tfevents.*")):
        # TensorBoard reads what has its name in it.
        partial = directory / ("cut" + PARTIAL)
        try:
            with events_written(path), tf.io.TFRecordWriter(str(partial)) as writer:
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
            print(
                f"warning: {path} is cut short or damaged: only its first {count} events are kept"
            )
            return
