"""One optimizer step from several micro-batches, with the result of the whole batch.

Gradients add up. Moving statistics do not: a micro-batch would be normalized with statistics that
the previous one has updated. So every micro-batch starts from the same statistics, and they are
updated once, as by the whole batch. With `statistics="population"` that is exact up to rounding;
with `"batch"` each micro-batch is still normalized on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.layers import BatchNormalization


class Accumulator:
    """Accumulates gradients and statistics of a step's micro-batches.

    Create it in the strategy's scope; call its methods in a replica.

    Args:
        model: the trained model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._sums = [_zeros(variable.shape) for variable in model.trainable_variables]
        self._updates = [_StatisticsUpdate(layer) for layer in _population_layers(model)]

    def begin(self) -> list[tuple[Any, Any]]:
        """Returns the statistics before a micro-batch, for `add`."""
        return [update.before() for update in self._updates]

    def add(self, gradients: Sequence[Any], before: Sequence[tuple[Any, Any]]) -> None:
        """Adds a processed micro-batch, and reverts its update of the statistics."""
        for total, gradient in zip(self._sums, gradients):
            total.assign_add(tf.cast(gradient, total.dtype))
        for update, statistics in zip(self._updates, before):
            update.add(*statistics)

    def end(self, num_micro_batches: int) -> list[Any]:
        """Updates the statistics once, returns the gradient sums and resets the accumulator.

        Args:
            num_micro_batches: number of added micro-batches, all of equal size.
        """
        for update in self._updates:
            update.apply(num_micro_batches)
        return [_take(total) for total in self._sums]


class _StatisticsUpdate:
    """Accumulates the statistics updates of one layer with momentum m.

    A micro-batch of mean u and variance v updates them by d = (1 - m)(u - mean) and
    e = (1 - m)(v - variance). The whole batch's mean is the mean of u; its variance is the mean of
    v plus the variance of u, and var(u) = var(d) / (1 - m)^2.
    """

    def __init__(self, layer: BatchNormalization) -> None:
        self._layer = layer
        shape = layer.moving_mean.shape
        self._mean, self._square, self._variance = (_zeros(shape) for _ in range(3))

    def before(self) -> tuple[Any, Any]:
        layer = self._layer
        return tf.identity(layer.moving_mean), tf.identity(layer.moving_variance)

    def add(self, mean: Any, variance: Any) -> None:
        d = tf.convert_to_tensor(self._layer.moving_mean) - mean
        e = tf.convert_to_tensor(self._layer.moving_variance) - variance
        self._mean.assign_add(d)
        self._square.assign_add(tf.square(d))
        self._variance.assign_add(e)
        self._layer.moving_mean.assign(mean)
        self._layer.moving_variance.assign(variance)

    def apply(self, num_micro_batches: int) -> None:
        d, square, e = (
            _take(total) / num_micro_batches for total in (self._mean, self._square, self._variance)
        )
        layer = self._layer
        if layer.momentum < 1:
            e += (square - tf.square(d)) / (1.0 - layer.momentum)
        layer.moving_mean.assign(tf.convert_to_tensor(layer.moving_mean) + d)
        layer.moving_variance.assign(tf.convert_to_tensor(layer.moving_variance) + e)


def _zeros(shape: Any) -> tf.Variable:
    """Creates a sum local to each replica."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _take(total: tf.Variable) -> Any:
    """Returns a sum and resets it."""
    value = tf.identity(total)
    total.assign(tf.zeros_like(value))
    return value


def _population_layers(model: keras.Model) -> Iterator[BatchNormalization]:
    for layer in model.layers:
        if not layer.trainable:
            continue
        if isinstance(layer, keras.Model):
            yield from _population_layers(layer)
        elif isinstance(layer, BatchNormalization) and layer.training_statistics == "population":
            yield layer
