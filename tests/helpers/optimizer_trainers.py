"""Trainers of a small network by the name of an optimizer."""

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.layers import FoldTime, PixelScaling, UnfoldTime
from rlstm_tf.training import optimizers
from rlstm_tf.training.averaging import WeightAverage
from rlstm_tf.training.trainer import Trainer

DECAY = 0.3
# Options of a trainer that the paper does not have.
RECIPE = {
    **{"class_weights": [0.5, 1.0, 1.5], "label_smoothing": 0.2, "clip_norm": 0.1},
    **{"momentum": 0.5, "pretrained_factor": 0.25},
}

SCHEDULE = optimizers.StepSchedule(0.02, (2, 4))


def model_of(seed=0):
    """Odd shapes, random weights, and layers that are called what others' weights are."""
    inputs = keras.Input((2, 4, 4, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(PixelScaling()(FoldTime()(inputs)))
    x = keras.layers.GlobalAveragePooling1D()(UnfoldTime(2)(x))
    x = keras.layers.Dense(7, activation="tanh", name="bias")(x)
    x = keras.layers.LayerNormalization(name="kernel")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32", name="w_f")(x))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def trainer_of(name, scale_loss=False, model=None, strategy=None, momentum=None, **options):
    """Makes a trainer, with the average of weights if it has a momentum; two are pretrained."""
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        model = model or model_of()
        optimizer = optimizers.make_optimizer(
            name, SCHEDULE, 0.9, DECAY, model.trainable_variables, scale_loss
        )
        average = None if momentum is None else WeightAverage(model, momentum)
    decay = DECAY if name == "sgd" else 0.0
    trainer = Trainer(model, optimizer, strategy, weight_decay=decay, average=average, **options)
    if "pretrained_factor" in options:
        trainer.pretrained = model.trainable_variables[:2]
    return trainer


def losses(trainer, given):
    return [float(trainer.train_step(batch)[0]) for batch in given]
