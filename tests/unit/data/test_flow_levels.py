import numpy as np
import pytest

from rlstm_tf.data.flow import dequantize, negate, quantize


def field(x, y=0.0, height=2, width=3):
    return np.broadcast_to(np.array([x, y], np.float32), (height, width, 2))


@pytest.mark.parametrize(
    ("pixels", "level"),
    [
        (0.0, 128),
        (20.0, 255),
        (-20.0, 1),
        (25.0, 255),
        (-25.0, 1),
        # 0.1 pixels are 0.635 levels.
        (0.1, 129),
        (-0.1, 127),
        (0.07, 128),
        (1.0, 134),
        (-1.0, 122),
        (10.0, 192),  # 63.5 levels, rounded to even
        (1e30, 255),
    ],
)
def test_quantize(pixels, level):
    levels = quantize(field(pixels, 0.0))
    assert (levels.dtype, levels.shape) == (np.uint8, (4, 3))
    assert (levels[:2] == level).all()
    assert (levels[2:] == 128).all()
    assert (quantize(field(0.0, pixels))[2:] == level).all()


def test_levels_of_x_are_above_those_of_y():
    motion = np.zeros((2, 3, 2))
    motion[0, 1] = 20, -20
    motion[1, 2] = -20, 20
    assert quantize(motion).tolist() == [
        [128, 255, 128],
        [128, 128, 1],
        [128, 1, 128],
        [128, 128, 255],
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_field_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="must be finite"):
        quantize(field(0.0, value))


def test_dequantize():
    levels = np.array([[1, 128, 255], [64, 129, 192]], np.uint8)
    found = dequantize(levels)
    assert found.dtype == np.float32
    # A level is 20/127 pixels.
    expected = [[[-20, -64 * 20 / 127], [0, 20 / 127], [20, 64 * 20 / 127]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_round_trip_is_exact_in_levels_and_within_half_a_level_in_pixels():
    levels = np.arange(1, 256, dtype=np.uint8).repeat(2).reshape(2, 255, order="F")
    np.testing.assert_array_equal(quantize(dequantize(levels)), levels)
    motion = np.random.default_rng(0).uniform(-20, 20, (20, 30, 2))
    assert np.abs(dequantize(quantize(motion)) - motion).max() <= 0.5 * 20 / 127 + 1e-6


def test_negate():
    levels = np.array([0, 1, 2, 127, 128, 129, 254, 255], np.uint8)
    found = negate(levels)
    assert found.dtype == np.uint8
    assert found.tolist() == [255, 255, 254, 129, 128, 127, 2, 1]
    motion = np.random.default_rng(1).uniform(-25, 25, (20, 30, 2))
    np.testing.assert_array_equal(negate(quantize(motion)), quantize(-motion))
