"""Networks that a trainer compiles in a second, their batches, and trainers of them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.layers import BatchNormalization, FoldTime, PixelScaling, RelationalLSTM, UnfoldTime
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.models.freezing import freeze_backbone
from rlstm_tf.models.rematerialization import Trunk
from rlstm_tf.training import optimizers
from rlstm_tf.training.trainer import Trainer


def linear_model(classes=3):
    """Frames [batch, 2, 4, 4, 3] -> mean over space and time -> logits."""
    inputs = keras.Input((2, 4, 4, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(PixelScaling()(FoldTime()(inputs)))
    x = keras.layers.GlobalAveragePooling1D()(UnfoldTime(2)(x))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x))


def linear_batches(count, batch=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {
            "frames": tf.constant(rng.integers(0, 256, (batch, 2, 4, 4, 3), dtype="uint8")),
            "label": tf.constant(rng.integers(0, classes, batch), tf.int32),
        }


def linear_trainer(model, learning_rate=0.1, momentum=0.9, weight_decay=0.0, **options):
    optimizer = optimizers.sgd(learning_rate, momentum, model.trainable_variables)
    return Trainer(model, optimizer, tf.distribute.get_strategy(), weight_decay, **options)


def small_network(statistics="population", momentum=0.9, image_size=32, num_segments=3, classes=5):
    """A trunk with batch normalization, the Relational LSTM, and logits; no dropout."""
    images = x = keras.Input((image_size, image_size, 3))
    for number, (filters, stride) in enumerate(((8, 4), (6, 2))):
        x = keras.layers.Conv2D(filters, 3, stride, padding="same", name=f"conv{number}")(x)
        x = BatchNormalization(
            training_statistics=statistics, momentum=momentum, name=f"bn{number}"
        )(x)
        x = keras.layers.Activation("relu", name=f"relu{number}")(x)
    inputs = keras.Input((num_segments, image_size, image_size, 3), dtype="uint8")
    maps = Trunk(images, x, name="trunk")(PixelScaling()(FoldTime()(inputs)))
    state = RelationalLSTM(4, unroll=True)(UnfoldTime(num_segments)(maps))
    x = keras.layers.GlobalAveragePooling2D()(state)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(x))


def tiny_network(classes, freeze="none", **options):
    """Builds a network on the tiny backbone, with the same random weights each time."""
    keras.utils.set_random_seed(1)
    given = {"backbone": "tiny_resnetv2", "weights": "none", "image_size": 32, "num_segments": 3}
    network = build_model(ModelConfig(**{**given, **options}), classes)
    freeze_backbone(network, freeze)
    return network


def trainer_of(statistics="population", momentum=0.9, scale_loss=False, model=None, **options):
    """Makes a trainer of `small_network`, or of a network by its name."""
    if model is None:
        keras.utils.set_random_seed(1)
        network = small_network(statistics, momentum)
    else:
        normalization = {"batch_norm": statistics, "batch_norm_momentum": momentum}
        network = tiny_network(5, model=model, dropout=0.0, **normalization)
    optimizer = optimizers.sgd(0.01, 0.9, network.trainable_variables, scale_loss)
    return Trainer(network, optimizer, tf.distribute.get_strategy(), 5e-4, **options)


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        # Videos of different brightness, so that the micro-batches have different means.
        bright = rng.integers(40, 256, (6, 1, 1, 1, 1))
        frames = rng.integers(0, bright, (6, 3, 32, 32, 3)).astype("uint8")
        yield {"frames": tf.constant(frames), "label": tf.constant(rng.integers(0, 5, 6), tf.int32)}


def run(trainer, steps=4):
    """Takes steps; returns the loss and the number of correct predictions of each."""
    return [[float(value) for value in trainer.train_step(batch)] for batch in batches(steps)]
