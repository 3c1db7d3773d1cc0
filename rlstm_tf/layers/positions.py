"""Learned positions for layers that treat their inputs as a set."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("rlstm_tf")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each snippet and one for each place of a map.

    x_{t,h,w} + p_t + q_{h,w}, separate for time and space (cf. Fan et al., arXiv 2104.11227), both
    drawn from a normal distribution of deviation 0.02 at first.

    Args:
        **kwargs: arguments of `keras.layers.Layer`.

    Input shape: `[batch, T, H, W, C]`, all but the batch known.

    Output shape: that of the input.

    Raises:
        ValueError: the input has another rank or an unknown size.

    Example:
        >>> layer = PositionEmbedding()
        >>> tuple(layer(np.zeros((2, 8, 7, 7, 48), "float32")).shape)
        (2, 8, 7, 7, 48)
    """

    def build(self, input_shape: Any) -> None:
        """Adds the weights `time` and `space`."""
        shape = tuple(input_shape)[1:]
        if len(shape) != 4 or None in shape:
            raise ValueError(
                "PositionEmbedding takes maps [batch, T, H, W, C] with T, H, W and C known. "
                f"Received: {tuple(input_shape)}"
            )
        T, H, W, C = shape
        for name, size in (("time", (T, 1, 1, C)), ("space", (H, W, C))):
            # One initializer for each: without a seed, it draws the same numbers again.
            initializer = keras.initializers.RandomNormal(stddev=0.02)
            setattr(self, name, self.add_weight(name=name, shape=size, initializer=initializer))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Returns the sums."""
        return inputs + self.time + self.space

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns the input's shape."""
        return tuple(input_shape)
