"""Event files of a resumed run."""

from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf.errors import DataError
from rlstm_tf.summaries.events import truncate_events, wrap_write_errors


def write(directory, steps):
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("train/loss", float(step), step=step)
    writer.close()
    return next(directory.iterdir())


def steps_in(directory):
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return [event.step for event in events.Tensors("train/loss")]


def test_drops_later_events(tmp_path):
    path = write(tmp_path, range(6))
    truncate_events(tmp_path, lambda tag, step: tag == "train/loss" and step <= 3)
    assert steps_in(tmp_path) == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-9], lambda text: text + b"half of the next event"]
)
def test_incomplete_events_are_dropped_with_a_warning(tmp_path, capsys, damage):
    path = write(tmp_path, range(6))
    path.write_bytes(damage(path.read_bytes()))
    truncate_events(tmp_path, lambda tag, step: True)
    assert f"warning: {path} is cut short or damaged" in capsys.readouterr().out
    assert steps_in(tmp_path)[:5] == [0, 1, 2, 3, 4]
    truncate_events(tmp_path, lambda tag, step: True)
    assert capsys.readouterr().out == ""


def test_missing_directory(tmp_path):
    truncate_events(tmp_path / "absent", lambda tag, step: True)
    assert not list(tmp_path.iterdir())


@wrap_write_errors(Path("/runs/tensorboard"))
def create(place):
    tf.summary.create_file_writer(str(place))


def test_write_errors(tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "tensorboard"
    with pytest.raises(DataError, match=r"^cannot write /runs/tensorboard: /.*file is not a dir"):
        create(place)
