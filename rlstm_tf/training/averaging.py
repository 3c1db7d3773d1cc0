"""Exponential moving average of the weights: what is validated, evaluated and exported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

# Before the names of the weights in training, in a checkpoint. Theirs lead to the averages.
_RAW = "raw/"


class WeightAverage:
    """Averages the trainable weights of a model over the steps of a training.

    After step n, counted from 1, average += (1 - m) (weight - average) with
    m = min(momentum, (1 + n) / (10 + n)), as in `tf.train.ExponentialMovingAverage`: the first
    weights are forgotten soon. Moving statistics, averages already, are left as they are.

    The averages that Keras's optimizers can keep (`use_ema`) start from other values on one stack
    than on the other, and tensorflow-addons' optimizers have none.

    Create it in the strategy's scope; use it outside of the replicas.

    Args:
        model: the trained model.
        momentum: largest m, 0..1.
    """

    def __init__(self, model: keras.Model, momentum: float) -> None:
        self._momentum = momentum
        self._pairs = [
            (weight, tf.Variable(tf.convert_to_tensor(weight), trainable=False))
            for weight in model.trainable_variables
        ]

    def restart(self) -> None:
        """Starts from the model's current weights."""
        for weight, average in self._pairs:
            average.assign(tf.convert_to_tensor(weight))

    def update(self, step: Any) -> None:
        """Adds the weights after a step.

        Args:
            step: steps taken before it.
        """
        share = tf.maximum(1.0 - self._momentum, 9.0 / (tf.cast(step, tf.float32) + 11.0))
        for weight, average in self._pairs:
            old = tf.convert_to_tensor(average)
            average.assign(old + share * (tf.convert_to_tensor(weight) - old))

    @contextlib.contextmanager
    def in_model(self) -> Iterator[None]:
        """Gives the model its averaged weights in this context."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for weight, average in self._pairs:
            value = tf.identity(tf.convert_to_tensor(weight))
            weight.assign(tf.convert_to_tensor(average))
            average.assign(value)

    def add_to(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Adds the averages to a checkpoint's variables, under the names of their weights.

        So whoever reads weights from the checkpoint reads the averages. Resuming takes the
        weights too, whose names `raw/` precedes.

        Args:
            variables: from `rlstm_tf.runs.checkpoints.named_variables`.
        """
        averages = {id(weight): average for weight, average in self._pairs}
        result: dict[str, Any] = {}
        for name, variable in variables.items():
            if id(variable) in averages:
                result[_RAW + name] = variable
            result[name] = averages.get(id(variable), variable)
        return result
