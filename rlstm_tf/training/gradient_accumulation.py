"""One optimizer step from several micro-batches, with the result of the whole batch.

Gradients add up by themselves. Moving statistics do not: a micro-batch would normalise with those
that the one before it has moved. So each starts from the same ones, and they move once, by what the
whole batch would have moved them. With `statistics="population"` that is exact to rounding; with
`"batch"` each micro-batch is still normalised by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.layers import BatchNormalization


class Accumulator:
    """What the micro-batches of a step add up to. Make it in the strategy's scope.

    The methods are for a replica.

    Args:
        model: whose gradients and statistics.
    """

    def __init__(self, model: keras.Model) -> None:
        self._sums = [_zeros(variable.shape) for variable in model.trainable_variables]
        self._moves = [_Moves(layer) for layer in _population_layers(model)]

    def begin(self) -> list[tuple[Any, Any]]:
        """The statistics before a micro-batch, for `add`."""
        return [move.before() for move in self._moves]

    def add(self, gradients: Sequence[Any], before: Sequence[tuple[Any, Any]]) -> None:
        """Adds a micro-batch that has run, and takes its move of the statistics back."""
        for total, gradient in zip(self._sums, gradients):
            total.assign_add(tf.cast(gradient, total.dtype))
        for move, statistics in zip(self._moves, before):
            move.add(*statistics)

    def end(self, parts: int) -> list[Any]:
        """Moves the statistics once; returns the sums of the gradients and starts anew.

        Args:
            parts: micro-batches that were added, all of one size.
        """
        for move in self._moves:
            move.settle(parts)
        return [_taken(total) for total in self._sums]


class _Moves:
    """Of one layer: by how much its micro-batches moved the statistics, m being its momentum.

    A micro-batch of mean u and variance v moves them by d = (1 - m)(u - mean) and
    e = (1 - m)(v - variance). The whole batch has the mean of the u as its mean, and as its
    variance the mean of the v plus the variance of the u, which is that of the d over (1 - m)^2.
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

    def settle(self, parts: int) -> None:
        d, square, e = (
            _taken(total) / parts for total in (self._mean, self._square, self._variance)
        )
        layer = self._layer
        if layer.momentum < 1:
            e += (square - tf.square(d)) / (1.0 - layer.momentum)
        layer.moving_mean.assign(tf.convert_to_tensor(layer.moving_mean) + d)
        layer.moving_variance.assign(tf.convert_to_tensor(layer.moving_variance) + e)


def _zeros(shape: Any) -> tf.Variable:
    """A sum that each replica keeps for itself."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _taken(total: tf.Variable) -> Any:
    value = tf.identity(total)
    total.assign(tf.zeros_like(value))
    return value


def _population_layers(model: keras.Model) -> Iterator[BatchNormalization]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _population_layers(layer)
        elif isinstance(layer, BatchNormalization) and layer.statistics == "population":
            yield layer
