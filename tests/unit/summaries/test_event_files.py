"""TensorBoard's files of a run that goes on."""

from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf.errors import DataError
from rlstm_tf.summaries.event_files import cut_back, events_written


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


def test_drops_what_comes_after(tmp_path):
    path = write(tmp_path, range(6))
    cut_back(tmp_path, lambda tag, step: tag == "train/loss" and step <= 3)
    assert steps_in(tmp_path) == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-9], lambda text: text + b"half of the next event"]
)
def test_what_is_half_written_is_dropped_and_said(tmp_path, capsys, damage):
    path = write(tmp_path, range(6))
    path.write_bytes(damage(path.read_bytes()))
    cut_back(tmp_path, lambda tag, step: True)
    assert f"warning: {path} is cut short or damaged" in capsys.readouterr().out
    assert steps_in(tmp_path)[:5] == [0, 1, 2, 3, 4]
    cut_back(tmp_path, lambda tag, step: True)
    assert capsys.readouterr().out == ""


def test_no_directory(tmp_path):
    cut_back(tmp_path / "absent", lambda tag, step: True)
    assert not list(tmp_path.iterdir())


@events_written(Path("/runs/tensorboard"))
def create(place):
    tf.summary.create_file_writer(str(place))


def test_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "tensorboard"
    with pytest.raises(DataError, match=r"^cannot write /runs/tensorboard: /.*file is not a dir"):
        create(place)
