"""Frames of a clip as a batch of images, and pixels as the numbers that a backbone expects."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.compat import ops

# Mean and divisor. First keras.applications' own three, by its names; then those of flow levels,
# of which 128 is no motion, spread as widely as each of the three spreads pixels.
_SCALES: dict[str, tuple[Any, Any]] = {
    "tf": (127.5, 127.5),
    "caffe": ((103.939, 116.779, 123.68), 1.0),
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "flow_tf": (128.0, 127.0),
    "flow_caffe": (128.0, 1.0),
    "flow_torch": (128.0, 57.63),
}
SCALINGS = (*_SCALES, "none")


@keras.saving.register_keras_serializable("rlstm_tf")
class FoldTime(keras.layers.Layer):
    """`[batch, T, ...]` -> `[batch * T, ...]`: a network for images takes every frame."""

    def call(self, inputs: Any) -> Any:
        """Returns the frames of all clips, clip after clip."""
        return ops.reshape(inputs, (-1, *inputs.shape[2:]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch * T, ...]`, the first unknown."""
        return (None, *tuple(input_shape)[2:])


@keras.saving.register_keras_serializable("rlstm_tf")
class UnfoldTime(keras.layers.Layer):
    """`[batch * T, ...]` -> `[batch, T, ...]`: the inverse of `FoldTime`.

    Args:
        num_segments: T.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, num_segments: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_segments = num_segments

    def call(self, inputs: Any) -> Any:
        """Returns the frames by clip."""
        return ops.reshape(inputs, (-1, self.num_segments, *inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, T, ...]`, the first unknown."""
        return (None, self.num_segments, *tuple(input_shape)[1:])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for saving."""
        return {**super().get_config(), "num_segments": self.num_segments}


@keras.saving.register_keras_serializable("rlstm_tf")
class PixelScaling(keras.layers.Layer):
    """Pixels 0..255, RGB, uint8 or float -> what a `keras.applications` network was trained on.

    Or levels 1..255 of optical flow -> the same range about zero, which is no motion. Done on the
    device, so that batches leave the host as uint8.

    Args:
        scaling: `"tf"` (-1..1), `"caffe"` (BGR less the ImageNet mean), `"torch"` (RGB less the
            mean, by the standard deviation) or `"none"` (0..255): the modes of
            `keras.applications.imagenet_utils.preprocess_input`. For flow of any number of
            channels `"flow_tf"` (-1..1), `"flow_caffe"` (-127..127) or `"flow_torch"` (-2.2..2.2).
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: `scaling` is none of these.
    """

    def __init__(self, scaling: str = "tf", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {SCALINGS}. Received: {scaling!r}")
        self.scaling = scaling

    def call(self, inputs: Any) -> Any:
        """Returns the scaled pixels in the layer's compute data type."""
        pixels = ops.cast(inputs, "float32")
        if self.scaling == "caffe":
            pixels = ops.flip(pixels, axis=-1)
        if self.scaling != "none":
            mean, divisor = _SCALES[self.scaling]
            pixels = (pixels - mean) / divisor
        return ops.cast(pixels, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """As the input."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for saving."""
        return {**super().get_config(), "scaling": self.scaling}
