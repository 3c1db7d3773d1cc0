"""Batch normalization that says which statistics it normalises with while training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from rlstm_tf import compat
from rlstm_tf.choices import STATISTICS
from rlstm_tf.compat import ops

_moves: ContextVar[Any] = ContextVar("moves", default=None)
_kept: ContextVar[bool] = ContextVar("kept", default=False)


@contextlib.contextmanager
def moves_after() -> Iterator[None]:
    """Moving statistics move when it ends, not when the layers are called.

    What is computed again within it normalises with the statistics of the first time.
    """
    moves: list[tuple[Any, Any]] = []
    token = _moves.set(moves)
    try:
        yield
    finally:
        _moves.reset(token)
    for moving, value in moves:
        moving.assign(value)


@contextlib.contextmanager
def statistics_kept() -> Iterator[None]:
    """While it lasts, no moving statistics move: what is computed is computed again."""
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)


@keras.saving.register_keras_serializable("rlstm_tf")
class BatchNormalization(keras.layers.Layer):
    """Batch normalization over the last axis, by population, batch or frozen statistics.

    `"population"`, the paper's (section 4): training too normalises with the moving mean and
    variance, which then move by 1 - momentum towards those of the batch. An output does not depend
    on the other videos of the batch, nor on how a batch is divided among replicas: the statistics
    that the moving ones move towards are those of the global batch.

    `"batch"`: the usual one, each replica by its own batch. For networks trained from scratch.

    `"frozen"`: the moving statistics never move.

    Weights are those of `keras.layers.BatchNormalization`, in its order: gamma, beta, moving_mean,
    moving_variance. Where TensorFlow is the backend its fused kernel computes it.

    Args:
        statistics: `"population"`, `"batch"` or `"frozen"`.
        momentum: of the moving statistics; the paper moves them by 0.001 or 0.0005.
        epsilon: added to the variance; more than 1e-5.
        center: add beta.
        scale: multiply by gamma.
        **kwargs: of `keras.layers.Layer`.

    Input shape:
        `[batch, ..., C]`.

    Output shape:
        As the input.

    Raises:
        ValueError: `statistics` is none of the three.
    """

    def __init__(
        self,
        statistics: str = "population",
        momentum: float = 0.999,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if statistics not in STATISTICS:
            raise ValueError(f"statistics must be one of {STATISTICS}. Received: {statistics!r}")
        self.statistics = statistics
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Adds gamma, beta and the moving statistics, all float32 under mixed precision."""
        shape = (input_shape[-1],)
        options = compat.FULL_PRECISION
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", **options)
        options = {"trainable": False, **options, **compat.SAME_ON_REPLICAS}
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer="zeros", **options
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer="ones", **options
        )
        self.built = True

    def call(self, inputs: Any, training: Any = False, mask: Any = None) -> Any:
        """Returns the normalised inputs; while training, moves the statistics.

        `mask` is passed on and not used: maps are never masked in part.
        """
        if not training or self.statistics == "frozen" or not self.trainable:
            return self._normalise(inputs, self.moving_mean, self.moving_variance)[0]
        if self.statistics == "batch":
            outputs, mean, variance = self._normalise(inputs, None, None)
        else:
            outputs, mean, variance = self._normalise(
                inputs, self.moving_mean, self.moving_variance
            )
        if not _kept.get():
            if self.statistics == "batch":
                mean, variance = compat.replica_mean([mean, variance])
            else:
                mean, variance = self._global_moments(ops.stop_gradient(inputs))
            self._move((self.moving_mean, mean), (self.moving_variance, variance))
        return outputs

    def _move(self, *pairs: tuple[Any, Any]) -> None:
        for moving, value in pairs:
            value = ops.cast(ops.stop_gradient(value), moving.dtype)
            value = moving + (1.0 - self.momentum) * (value - moving)
            if _moves.get() is None:
                moving.assign(value)
            else:
                _moves.get().append((moving, value))

    def _normalise(self, inputs: Any, mean: Any, variance: Any) -> tuple[Any, Any, Any]:
        channels = (inputs.shape[-1],)
        gamma = self.gamma if self.scale else ops.ones(channels, self.variable_dtype)
        beta = self.beta if self.center else ops.zeros(channels, self.variable_dtype)
        fused = compat.fused_batch_normalization(inputs, gamma, beta, mean, variance, self.epsilon)
        if fused is not None:
            return fused
        if mean is None:
            mean, variance = _moments(inputs, self.variable_dtype)
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        outputs = ops.cast(inputs, self.variable_dtype) * scale + (beta - mean * scale)
        return ops.cast(outputs, inputs.dtype), mean, variance

    def _global_moments(self, inputs: Any) -> tuple[Any, Any]:
        """Mean and variance over all replicas, exact: moments about a common point add up.

        The moving mean is that point: it is the same on every replica, and near enough to the mean
        for the difference of squares not to cancel.
        """
        mean, variance = _moments(inputs, self.variable_dtype)
        shift = mean - self.moving_mean
        global_shift, second = compat.replica_mean([shift, variance + ops.square(shift)])
        return self.moving_mean + global_shift, second - ops.square(global_shift)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for saving."""
        return {
            **super().get_config(),
            "statistics": self.statistics,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }


def _moments(inputs: Any, dtype: str) -> tuple[Any, Any]:
    """Mean and biased variance over all axes but the last, `[C]` each."""
    inputs = ops.cast(inputs, dtype)
    axes = tuple(range(len(inputs.shape) - 1))
    mean = ops.mean(inputs, axis=axes)
    return mean, ops.mean(ops.square(inputs - mean), axis=axes)
