"""Dropout that depends on seed, step and layer alone, so that a resumed run drops the same.

Keras draws from a generator with a state instead, which Keras 2.15 does not save and of which
Keras 3 gives all replicas the same mask.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from rlstm_tf.compat import TENSORFLOW

if TENSORFLOW:
    # For `dropout_seed`, which only the training loop enters; other backends draw as Keras does.
    import tensorflow as tf

_seed: ContextVar[Any] = ContextVar("seed", default=None)


@contextlib.contextmanager
def dropout_seed(seed: int, *position: Any) -> Iterator[None]:
    """Sets the seed of each `Dropout` that is called within the context.

    Args:
        seed: seed of the run.
        *position: integers or integer tensors, such as step and replica.
    """
    folded = tf.constant([seed, 0], tf.int64)
    for number in position:
        folded = tf.random.experimental.stateless_fold_in(folded, tf.cast(number, tf.int64))
    token = _seed.set(folded)
    try:
        yield
    finally:
        _seed.reset(token)


@keras.saving.register_keras_serializable("rlstm_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`; within `dropout_seed`, a pure function of that seed and its name."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """In training, drops inputs with probability `rate` and scales the others up.

        An untrainable layer drops nothing, as an untrainable batch normalization learns nothing.
        """
        training = training if self.trainable else False
        seed = _seed.get()
        if seed is None or training is not True or not self.rate:
            return super().call(inputs, training=training)
        seed = tf.random.experimental.stateless_fold_in(seed, zlib.crc32(self.name.encode()))
        noise_shape = self.noise_shape
        if noise_shape is not None:
            sizes = zip(noise_shape, tf.unstack(tf.shape(inputs)))
            noise_shape = [size if given is None else given for given, size in sizes]
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed, noise_shape=noise_shape
        )
