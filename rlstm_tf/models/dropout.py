"""Dropout that depends on the step alone, so that a resumed run drops what it would have dropped.

Keras's own draws from a generator with a state: Keras 2.15's is saved nowhere, Keras 3's gives all
replicas the same mask.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

_key: ContextVar[Any] = ContextVar("key", default=None)


@contextlib.contextmanager
def drawn(seed: int, *position: Any) -> Iterator[None]:
    """While it lasts, `Dropout` layers that are called draw by this seed and position alone.

    Args:
        seed: of the run.
        *position: integers or integer tensors: step, replica, ...
    """
    key = tf.constant([seed, 0], tf.int64)
    for number in position:
        key = tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int64))
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


@keras.saving.register_keras_serializable("rlstm_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`; within `drawn`, a pure function of position and of its name."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Drops a share `rate` of the inputs while training, and scales the others up."""
        key = _key.get()
        if key is None or training is not True or not self.rate:
            return super().call(inputs, training=training)
        own = tf.random.experimental.stateless_fold_in(key, zlib.crc32(self.name.encode()))
        noise_shape = self.noise_shape
        if noise_shape is not None:
            sizes = zip(noise_shape, tf.unstack(tf.shape(inputs)))
            noise_shape = [size if given is None else given for given, size in sizes]
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, own, noise_shape=noise_shape)
