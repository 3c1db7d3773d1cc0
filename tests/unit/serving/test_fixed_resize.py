"""Frames of a fixed size are prepared as those of any size."""

from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from exports import videos

from rlstm_tf.errors import UsageError
from rlstm_tf.serving.fixed_metadata import FrameSize
from rlstm_tf.serving.fixed_resize import make_preparation, make_taps
from rlstm_tf.serving.preprocessing import resize_and_crop


def area_matrix(length, resized):
    """Shares of each pixel in each interval, exact."""
    scale = Fraction(length, resized)
    shares = [
        [max(Fraction(0), min((y + 1) * scale, x + 1) - max(y * scale, x)) for x in range(length)]
        for y in range(resized)
    ]
    return np.array(shares, float) / float(scale)


def matrix(taps, length):
    """The matrix that multiplies an axis of `length` pixels."""
    out = np.zeros((len(taps.numbers), length))
    for row, (numbers, weights) in enumerate(zip(taps.numbers, taps.weights)):
        np.add.at(out[row], numbers, weights)
    return out


@pytest.mark.parametrize(("length", "resized", "size"), [(60, 40, 32), (53, 40, 33), (641, 40, 40)])
def test_areas(length, resized, size):
    found = matrix(make_taps(length, resized, size, is_smaller=True), length)
    first = (resized - size) // 2
    expected = area_matrix(length, resized)[first : first + size]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_growing_is_linear_between_pixels():
    found = matrix(make_taps(3, 6, 6, is_smaller=False), 3)
    expected = [
        *([1, 0, 0], [0.75, 0.25, 0], [0.25, 0.75, 0]),
        *([0, 0.75, 0.25], [0, 0.25, 0.75], [0, 0, 1]),
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [(80, 107), (64, 48), (20, 30), (41, 41), (40, 53), (32, 32)])
def test_pixels_are_those_of_a_server(size):
    """Halves are rounded otherwise there."""
    frames = videos(1, 2, *size)[0]
    prepare = make_preparation(FrameSize(*size), 32, 40, resize=True)
    found = prepare(tf.constant(frames)).numpy()
    expected = [resize_and_crop(tf.constant(frame), 32, 40, True, "frames") for frame in frames]
    difference = found.astype(int) - np.stack(expected)
    assert found.dtype == np.uint8
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.05


def test_refusals():
    for size in ((0, 40), (3, 60), (5000, 5000)):
        with pytest.raises(UsageError, match="a frame may have 1 to 16777216 pixels"):
            make_preparation(FrameSize(*size), 32, 40, resize=True)
    with pytest.raises(UsageError, match="frames of 50x44: flow is of frames with a short side"):
        make_preparation(FrameSize(44, 50), 32, 40, resize=False)
    make_preparation(FrameSize(40, 50), 32, 40, resize=False)
