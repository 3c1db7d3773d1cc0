"""Batch normalization with a choice of the statistics that training uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from rlstm_tf import compat
from rlstm_tf.choices import STATISTICS
from rlstm_tf.compat import ops

_deferred_updates: ContextVar[Any] = ContextVar("deferred_updates", default=None)
_is_frozen: ContextVar[bool] = ContextVar("is_frozen", default=False)


@contextlib.contextmanager
def defer_statistics_updates() -> Iterator[None]:
    """Updates moving statistics at the end of the context, not when the layers are called.

    A forward pass that is repeated within the context uses the same statistics as the first one.
    """
    updates: list[tuple[Any, Any]] = []
    token = _deferred_updates.set(updates)
    try:
        yield
    finally:
        _deferred_updates.reset(token)
    for moving, value in updates:
        moving.assign(value)


@contextlib.contextmanager
def freeze_statistics() -> Iterator[None]:
    """Leaves moving statistics unchanged within the context, for a repeated forward pass."""
    token = _is_frozen.set(True)
    try:
        yield
    finally:
        _is_frozen.reset(token)


@keras.saving.register_keras_serializable("rlstm_tf")
class BatchNormalization(keras.layers.Layer):
    """Batch normalization over the last axis, with population, batch or frozen statistics.

    The weights are those of `keras.layers.BatchNormalization`, in the same order: gamma, beta,
    moving_mean, moving_variance. On TensorFlow its fused kernel runs.

    Args:
        training_statistics: statistics that training normalizes with.
            `"population"` (section 4 of the paper): the moving ones, which are then updated towards
            the moments of the global batch. Outputs depend neither on the other videos of a batch
            nor on the number of replicas.
            `"batch"`: those of the replica's batch, as in Keras. For networks trained from scratch.
            `"frozen"`: the moving ones, without an update.
        momentum: share of a moving statistic that an update keeps; the paper updates by 0.001 or
            0.0005.
        epsilon: added to the variance; greater than 1e-5.
        center: add beta.
        scale: multiply by gamma.
        **kwargs: further arguments of `keras.layers.Layer`.

    Input shape:
        `[batch, ..., C]`.

    Output shape:
        The input's.

    Raises:
        ValueError: `training_statistics` is none of the three.

    Example:
        >>> maps = np.random.normal(size=(2, 8, 7, 7, 64)).astype("float32")
        >>> layer = BatchNormalization(training_statistics="population", momentum=0.999)
        >>> tuple(layer(maps, training=True).shape)
        (2, 8, 7, 7, 64)
    """

    def __init__(
        self,
        *,
        training_statistics: str = "population",
        momentum: float = 0.999,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if training_statistics not in STATISTICS:
            raise ValueError(
                f"training_statistics must be one of {STATISTICS}. "
                f"Received: training_statistics={training_statistics!r}"
            )
        self.training_statistics = training_statistics
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Adds the weights, float32 under mixed precision too."""
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
        """Returns the normalized inputs; updates the moving statistics in training.

        The mask has no effect: it is accepted because the layer passes masks on.
        """
        moving = self.moving_mean, self.moving_variance
        if not training or self.training_statistics == "frozen" or not self.trainable:
            return self._normalize(inputs, *moving)[0]
        uses_batch = self.training_statistics == "batch"
        statistics = [None, None] if uses_batch else [compat.value_of(x) for x in moving]
        outputs, mean, variance = self._normalize(inputs, *statistics)
        if not _is_frozen.get():
            if uses_batch:
                mean, variance = compat.replica_mean([mean, variance])
            else:
                mean, variance = self._global_moments(ops.stop_gradient(inputs))
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, variance)
        return outputs

    def _update(self, moving: Any, value: Any) -> None:
        value = ops.cast(ops.stop_gradient(value), moving.dtype)
        value = moving + (1.0 - self.momentum) * (value - moving)
        if _deferred_updates.get() is None:
            moving.assign(value)
        else:
            _deferred_updates.get().append((moving, value))

    def _normalize(self, inputs: Any, mean: Any, variance: Any) -> tuple[Any, Any, Any]:
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
        """Returns the exact mean and variance over all replicas.

        Moments about a point that all replicas share can be averaged. The moving mean is such a
        point, and close enough to the mean for the difference of squares to stay precise.
        """
        mean, variance = _moments(inputs, self.variable_dtype)
        shift = mean - self.moving_mean
        global_shift, second = compat.replica_mean([shift, variance + ops.square(shift)])
        return self.moving_mean + global_shift, second - ops.square(global_shift)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "training_statistics": self.training_statistics,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BatchNormalization:
        """Creates the layer from `get_config`, of version 0.1.0 too."""
        config = dict(config)
        if "statistics" in config:
            config["training_statistics"] = config.pop("statistics")
        return cls(**config)


def _moments(inputs: Any, dtype: str) -> tuple[Any, Any]:
    """Returns mean and biased variance over all axes but the last, `[C]` each."""
    inputs = ops.cast(inputs, dtype)
    axes = tuple(range(len(inputs.shape) - 1))
    mean = compat.mean(inputs, axes)
    return mean, compat.mean(ops.square(inputs - mean), axes)
