"""Layers between clips and a backbone: folding of the time axis and scaling of pixels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from rlstm_tf.compat import ops

# Mean and divisor: the three modes of keras.applications, that of EfficientNet-Lite, then those for
# levels of flow, whose zero is 128, spread as widely as the mode of the same name spreads pixels.
_SCALES: dict[str, tuple[Any, Any]] = {
    "tf": (127.5, 127.5),
    "caffe": ((103.939, 116.779, 123.68), 1.0),
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "lite": (127.0, 128.0),
    "flow_tf": (128.0, 127.0),
    "flow_caffe": (128.0, 1.0),
    "flow_torch": (128.0, 57.63),
    "flow_lite": (128.0, 128.0),
}
SCALINGS = (*_SCALES, "none")


@keras.saving.register_keras_serializable("rlstm_tf")
class FoldTime(keras.layers.Layer):
    """Folds time into the batch: `[batch, T, ...]` -> `[batch * T, ...]`.

    Example:
        >>> tuple(FoldTime()(np.zeros((2, 8, 32, 32, 3))).shape)
        (16, 32, 32, 3)
    """

    def call(self, inputs: Any) -> Any:
        """Returns the frames, clip after clip."""
        return ops.reshape(inputs, (-1, *inputs.shape[2:]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns `(None, ...)`."""
        return (None, *tuple(input_shape)[2:])


@keras.saving.register_keras_serializable("rlstm_tf")
class UnfoldTime(keras.layers.Layer):
    """Inverts `FoldTime`: `[batch * T, ...]` -> `[batch, T, ...]`.

    Args:
        num_segments: T.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> tuple(UnfoldTime(8)(np.zeros((16, 7, 7, 64))).shape)
        (2, 8, 7, 7, 64)
    """

    def __init__(self, num_segments: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_segments = num_segments

    def call(self, inputs: Any) -> Any:
        """Returns the frames by clip."""
        return ops.reshape(inputs, (-1, self.num_segments, *inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns `(None, T, ...)`."""
        return (None, self.num_segments, *tuple(input_shape)[1:])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_segments": self.num_segments}


@keras.saving.register_keras_serializable("rlstm_tf")
class PixelScaling(keras.layers.Layer):
    """Scales uint8 frames on the device to the range that a backbone was trained on.

    Args:
        scaling: for RGB pixels 0..255 a mode of
            `keras.applications.imagenet_utils.preprocess_input`: `"tf"` (-1..1), `"caffe"` (BGR
            minus ImageNet's mean), `"torch"` (RGB minus the mean, over the standard deviation);
            `"lite"` ((x - 127) / 128), or `"none"` (0..255). For levels 1..255 of optical flow, any
            number of channels: `"flow_tf"` (-1..1), `"flow_caffe"` (-127..127), `"flow_torch"`
            (-2.2..2.2) or `"flow_lite"` (-0.99..0.99); no motion is 0.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `scaling` is none of these.

    Example:
        >>> PixelScaling("tf")(np.array([[0, 255]], "uint8")).numpy().tolist()
        [[-1.0, 1.0]]
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
            # Tensors: JAX and torch take no tuples.
            mean, divisor = (ops.cast(np.float32(x), "float32") for x in _SCALES[self.scaling])
            pixels = (pixels - mean) / divisor
        return ops.cast(pixels, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns the input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "scaling": self.scaling}
