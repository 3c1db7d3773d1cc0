"""Folding of the time axis, and the pixel scalings of keras.applications."""

import keras
import numpy as np
import pytest

from rlstm_tf.layers import FoldTime, PixelScaling, UnfoldTime


def test_unfold_inverts_fold():
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
def test_scaling_equals_keras_applications(scaling):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), dtype="uint8")
    preprocess = keras.applications.imagenet_utils.preprocess_input
    result = preprocess(pixels.astype("float32"), data_format="channels_last", mode=scaling)
    np.testing.assert_allclose(PixelScaling(scaling)(pixels), result, atol=2e-4)


def test_scaling_of_efficientnet_lite():
    pixels = np.array([0, 127, 191, 255], "uint8").reshape(1, 2, 2, 1)
    scaled = np.asarray(PixelScaling("lite")(pixels))
    np.testing.assert_array_equal(scaled.ravel(), [-0.9921875, 0, 0.5, 1])


@pytest.mark.parametrize(
    ("scaling", "most"),
    [("tf", 1), ("caffe", 127), ("torch", 127 / 57.63), ("lite", 127 / 128)],
)
def test_no_motion_is_zero(scaling, most):
    """Flow levels are 1 ... 255, and 128 is no motion; 20 channels keep their order."""
    levels = np.full((1, 1, 3, 20), 128, "uint8")
    levels[0, 0, 0, 0], levels[0, 0, 2, 19] = 1, 255
    scaled = np.asarray(PixelScaling(f"flow_{scaling}")(levels))
    assert (scaled[levels == 128] == 0).all()
    np.testing.assert_allclose(scaled[0, 0, 0, 0], -most, rtol=1e-6)
    np.testing.assert_allclose(scaled[0, 0, 2, 19], most, rtol=1e-6)


def test_flow_has_the_range_of_pixels():
    """For each scaling, half the range from darkest to brightest pixel, within 1."""
    for scaling in ("tf", "caffe", "torch", "lite"):
        ends = np.stack([np.zeros((1, 1, 3)), np.full((1, 1, 3), 255)]).astype("uint8")
        dark, bright = np.asarray(PixelScaling(scaling)(ends)).mean(axis=(1, 2, 3))
        flow = float(np.asarray(PixelScaling(f"flow_{scaling}")(np.full((1, 1, 1, 2), 255))).max())
        np.testing.assert_allclose(flow, (bright - dark) / 2, rtol=0.01)


def test_no_scaling_and_unknown_scaling():
    pixels = np.full((1, 2, 2, 3), 255, "uint8")
    np.testing.assert_array_equal(PixelScaling("none")(pixels), pixels.astype("float32"))
    with pytest.raises(ValueError, match="scaling must be one of"):
        PixelScaling("imagenet")
