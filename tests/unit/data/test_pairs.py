import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_shards import flip_byte, write_shards

from rlstm_tf.data import pipeline
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.pairs import evaluation_pairs, training_pairs
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError

LENGTHS = [5, 12, 1, 7, 9, 20, 8]
CONFIG = InputConfig(batch_size=3, num_segments=2, image_size=32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pairs") / "shards"
    write_shards(directory, LENGTHS)
    return Shards.open(str(directory), "train")


def test_training_pairs_are_the_batches_of_the_loop(shards):
    expected = list(pipeline.training_batches(shards, CONFIG, num_steps=5))
    pairs = training_pairs(shards, CONFIG)
    assert pairs.element_spec == (
        tf.TensorSpec((3, 2, 32, 32, 3), tf.uint8),
        tf.TensorSpec((3,), tf.int32),
    )
    assert pairs.cardinality() == tf.data.INFINITE_CARDINALITY
    for batch, (frames, labels) in zip(expected, pairs.take(5)):
        np.testing.assert_array_equal(frames, batch["frames"])
        np.testing.assert_array_equal(labels, batch["label"])
    for batch, (frames, _) in zip(expected[2:], training_pairs(shards, CONFIG, 2).take(3)):
        np.testing.assert_array_equal(frames, batch["frames"])


def test_frames_that_the_device_would_crop_are_cropped_too(shards):
    config = dataclasses.replace(CONFIG, augment_on="device")
    for (here, _), (expected, _) in zip(
        training_pairs(shards, config).take(2), training_pairs(shards, CONFIG).take(2)
    ):
        assert here.shape == expected.shape
        # Frames of one color.
        np.testing.assert_allclose(here, expected, atol=3)


def test_mixup_is_refused(shards):
    """It would need two labels for each clip."""
    with pytest.raises(UsageError, match="a pair has one label"):
        training_pairs(shards, dataclasses.replace(CONFIG, batch_size=2, mixup=0.2))


def test_evaluation_pairs_are_each_video_once_in_order(shards):
    pairs = list(evaluation_pairs(shards, CONFIG))
    assert [len(labels) for _, labels in pairs] == [3, 3, 1]
    assert [len(frames) for frames, _ in pairs] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in pairs]), shards.labels)
    batches = pipeline.evaluation_batches(shards, CONFIG)
    expected = np.concatenate([batch["frames"][:, 0] for batch in batches])[: len(LENGTHS)]
    np.testing.assert_array_equal(np.concatenate([frames for frames, _ in pairs]), expected)


def test_several_labels_stay_several(tmp_path):
    actions = [[(0, 0, 3), (2, 1, 2)], [], [(1, 0, 4)]]
    write_shards(tmp_path / "shards", [5, 4, 6], actions=actions, multi_label=True)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    ((_, labels),) = evaluation_pairs(shards, CONFIG)
    assert labels.dtype == tf.bool
    np.testing.assert_array_equal(labels, shards.labels)


def test_a_damaged_frame_is_named(tmp_path):
    write_shards(tmp_path / "shards", [4], num_shards=1)
    (path,) = (tmp_path / "shards").glob("*.tfrecord")
    flip_byte(path, path.stat().st_size // 2)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    config = InputConfig(batch_size=1, num_segments=4, image_size=32)
    with pytest.raises(tf.errors.OpError, match=r"video 'v0', frame .*: checksum"):
        next(iter(evaluation_pairs(shards, config)))
