"""Truncation of TensorBoard's event files at the step where a run resumes."""

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
            print(
                f"warning: {path} is cut short or damaged: only its first {count} events are kept"
            )
            return
