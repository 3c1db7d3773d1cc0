"""Compares crops of the device with those of the host, and training steps on both."""

import contextlib

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from small_shards import context

from rlstm_tf.data import augmentation, batches, flow, pipeline, schema
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.device_augmentation import crop, make_preprocess
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.manifest import Manifest, Subset
from rlstm_tf.data.shards import Shards
from rlstm_tf.layers import FoldTime, PixelScaling, UnfoldTime
from rlstm_tf.training import optimizers
from rlstm_tf.training import trainer as training
from tfrecords_tools.builder import shard_writer

# (height, width). None has the largest height and width, so that all are padded.
SIZES = [(40, 48), (37, 61), (40, 48), (52, 40), (37, 61)]
SIDE, LENGTH = 32, 3
BOXES = (
    Box(0, 0, 21, 21),  # enlarged, at an edge
    Box(5, 3, 64, 64),  # halved: OpenCV averages areas
    Box(7, 11, 41, 35),
    Box(63, 50, 20, 27),  # up to the last pixel
    Box(2, 1, 32, 32),  # not resized
    Box(80, 3, 1, 70),
)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("jit", [False, True])
def test_images_equal_opencv(flip, jit):
    # Noise, so that a crop that is off by a pixel shows.
    frames = np.random.default_rng(0).integers(0, 256, (len(BOXES), 2, 77, 83, 3), np.uint8)
    config = InputConfig(len(BOXES), 2, SIDE)
    function = tf.function(lambda *given: crop(*given, config), jit_compile=jit)
    found = np.asarray(function(frames, np.array(BOXES, np.int32), np.full(len(BOXES), flip)))
    assert found.dtype == np.uint8
    for row, box in enumerate(BOXES):
        for image, made in zip(frames[row], found[row]):
            expected = augmentation.crop_and_resize(image, box, SIDE, flip)
            assert np.abs(made.astype(int) - expected).max() <= 1, box


def test_flow_fields_equal_opencv():
    fields = np.random.default_rng(0).integers(0, 256, (len(BOXES), 2, LENGTH, 2, 77, 83), np.uint8)
    fields[0, 0, 0] = 0  # below the lowest level of a field
    config = InputConfig(len(BOXES), 2, SIDE, stream="temporal", new_length=LENGTH)
    flips = np.arange(len(BOXES)) % 2 == 0
    found = np.asarray(crop(fields, np.array(BOXES, np.int32), flips, config))
    expected = np.empty((SIDE, SIDE, 2 * LENGTH), np.uint8)
    for row, box in enumerate(BOXES):
        for snippet, made in zip(fields[row], found[row]):
            stored = snippet.reshape(LENGTH, 2 * 77, 83)
            augmentation.crop_flow(stored, box, SIDE, bool(flips[row]), expected)
            assert np.abs(made.astype(int) - expected).max() <= 1, box
    still = np.full_like(fields, flow.ZERO)
    mirrored = crop(still, np.array(BOXES, np.int32), np.ones_like(flips), config)
    assert (np.asarray(mirrored) == flow.ZERO).all()


@pytest.fixture(scope="module", params=["spatial", "temporal"])
def shards(request, tmp_path_factory):
    """Shards with frames of noise in several sizes."""
    directory = tmp_path_factory.mktemp("device")
    temporal = request.param == "temporal"
    videos = []
    for number, (height, width) in enumerate(SIZES):
        shape = (2 * height, width) if temporal else (height, width, 3)
        images = np.random.default_rng(number).integers(0, 256, (7, *shape), np.uint8)
        jpegs = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
        videos.append((context(f"v{number}", number % 3, 7, height, width), jpegs))
    name = schema.shard_name("train", 0, 1)
    shard = shard_writer.write_shard(str(directory), name, videos)
    subset = Subset(len(SIZES), 7 * len(SIZES), len(SIZES), (shard,))
    manifest = Manifest("folder", 0, request.param, ("a", "b", "c"), {}, {"train": subset})
    manifest.save(str(directory))
    return Shards.open(str(directory), "train")


def config_of(shards, augment_on):
    stream = shards.manifest.stream
    length = LENGTH if stream == "temporal" else 1
    return InputConfig(4, 3, SIDE, seed=3, stream=stream, new_length=length, augment_on=augment_on)


def test_batches_are_the_same(shards):
    """One of the batches crosses the end of an epoch."""
    host, device = (config_of(shards, where) for where in ("host", "device"))
    uncropped = pipeline.iterate(pipeline.training_batches(shards, device, 1, 3), shards)
    for step, batch in enumerate(uncropped, 1):
        expected = batches.training_rows(shards, host, 4 * step, 4)
        found = np.asarray(make_preprocess(device)(batch))
        assert np.abs(found.astype(int) - expected["frames"]).max() <= 1
        for name in ("label", "video"):
            np.testing.assert_array_equal(batch[name], expected[name])
    assert step == 3


def linear_trainer(config, accumulate=1):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(config.video_shape, dtype="uint8")
    x = keras.layers.AveragePooling2D(8)(PixelScaling()(FoldTime()(inputs)))
    x = keras.layers.Flatten()(x)
    x = keras.layers.GlobalAveragePooling1D()(UnfoldTime(config.num_segments)(x))
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))
    optimizer = optimizers.sgd(0.1, 0.9, model.trainable_variables)
    return training.Trainer(
        model,
        optimizer,
        tf.distribute.get_strategy(),
        accumulate=accumulate,
        preprocess=make_preprocess(config),
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_steps_are_the_same(shards, accumulate):
    losses = {}
    for where in ("host", "device"):
        config = config_of(shards, where)
        trainer = linear_trainer(config, accumulate if where == "device" else 1)
        dataset = pipeline.training_batches(shards, config, 0, 3)
        with contextlib.closing(pipeline.iterate(dataset, shards)) as iterator:
            losses[where] = [float(trainer.train_step(batch)[0]) for batch in iterator]
    np.testing.assert_allclose(losses["device"], losses["host"], atol=2e-3)
    assert len(set(losses["host"])) == 3
