"""Folding of the time axis, and the pixel scalings of keras.applications."""

import keras
import numpy as np
import pytest

from rlstm_tf.layers import FoldTime, PixelScaling, UnfoldTime


def test_fold_and_unfold_are_inverse():
    frames = np.arange(2 * 3 * 4 * 5, dtype="float32").reshape(2, 3, 4, 5)
    folded = FoldTime()(frames)
    np.testing.assert_array_equal(folded, frames.reshape(6, 4, 5))
    np.testing.assert_array_equal(UnfoldTime(3)(folded), frames)


def test_symbolic_shapes():
    inputs = keras.Input((3, 8, 9, 3), dtype="uint8")
    folded = FoldTime()(inputs)
    assert tuple(folded.shape) == (None, 8, 9, 3)
    assert tuple(UnfoldTime(3)(folded).shape) == (None, 3, 8, 9, 3)
    assert tuple(PixelScaling()(folded).shape) == (None, 8, 9, 3)


@pytest.mark.parametrize("scaling", ["tf", "caffe", "torch"])
def test_scaling_is_that_of_keras_applications(scaling):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype="uint8")
    preprocess = keras.applications.imagenet_utils.preprocess_input
    result = preprocess(pixels.astype("float32"), data_format="channels_last", mode=scaling)
    np.testing.assert_allclose(PixelScaling(scaling)(pixels), result, atol=2e-4)


def test_no_scaling_and_unknown_scaling():
    pixels = np.full((1, 2, 2, 3), 255, "uint8")
    np.testing.assert_array_equal(PixelScaling("none")(pixels), pixels.astype("float32"))
    with pytest.raises(ValueError, match="scaling must be one of"):
        PixelScaling("imagenet")
