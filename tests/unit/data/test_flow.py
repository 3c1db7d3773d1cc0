from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from repository import ROOT

from rlstm_tf.data import optical_flow as flow
from rlstm_tf.data.flow import ZERO, dequantize, quantize
from tfrecords_tools import build
from tfrecords_tools.builder import flags as building


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def frames(count, size=(48, 64), step=(2, 1), seed=0):
    """Yields BGR frames of (height, width): a texture that moves (right, down) pixels a frame."""
    right, down = step
    margin = count * max(abs(right), abs(down))
    height, width = size
    noise = np.random.default_rng(seed).normal(size=(height + 2 * margin, width + 2 * margin))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    for number in range(count):
        top, left = margin - down * number, margin - right * number
        yield cv2.cvtColor(texture[top:][:height, left:][:, :width], cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("step", [(2, 1), (-3, 0), (0, -2)])
def test_shift_is_recovered(method, step):
    found = list(flow.compute_flow(frames(3, step=step), method))
    assert len(found) == 2
    for levels in found:
        assert (levels.dtype, levels.shape) == (np.uint8, (96, 64))
        inside = dequantize(levels)[8:-8, 8:-8]
        # Includes a rounding error of half a level, 0.08 pixels.
        assert np.abs(inside - step).max() < 0.2


@pytest.mark.parametrize("method", flow.METHODS)
def test_field_depends_only_on_its_two_frames(method):
    """Resumed builds, and a benchmark of single pairs, rely on it."""
    three = list(frames(3, size=(32, 48)))
    fields = list(flow.compute_flow(three, method))
    np.testing.assert_array_equal(fields[1], next(iter(flow.compute_flow(three[1:], method))))
    np.testing.assert_array_equal(list(flow.compute_flow(three, method)), fields)


@pytest.mark.parametrize("method", flow.METHODS)
def test_single_frame_gives_one_field_without_motion(method):
    (levels,) = flow.compute_flow(frames(1, size=(16, 20)), method)
    assert (levels.dtype, levels.shape) == (np.uint8, (32, 20))
    assert (levels == ZERO).all()


@pytest.mark.parametrize("method", flow.METHODS)
def test_equal_frames_have_no_motion(method):
    (frame,) = frames(1)
    (levels,) = flow.compute_flow([frame, frame], method)
    assert (levels == ZERO).all()


def test_methods_equal_opencv():
    before, after = frames(2)
    gray = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (before, after)]
    for method, calculator in (
        ("tvl1", cv2.optflow.DualTVL1OpticalFlow_create()),
        ("dis", cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)),
    ):
        (levels,) = flow.compute_flow([before, after], method)
        np.testing.assert_array_equal(levels, quantize(calculator.calc(*gray, None)))


@pytest.mark.parametrize("size", [(48, 64), (47, 61)])
def test_half_size_is_a_field_of_halved_images_enlarged(size):
    """Checked at half the size, where the enlarged field is sampled back. 47 becomes 24."""
    height, width = size
    small = (round(width / 2), round(height / 2))
    gray = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames(2, size, step=(4, -2))]
    halves = [cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in gray]
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(*halves, None)
    expected = expected * [width / small[0], height / small[1]]
    found = flow.make_flow_function("tvl1_half")(*gray)
    assert (found.dtype, found.shape) == (np.float32, (height, width, 2))
    back = cv2.resize(found, small, interpolation=cv2.INTER_AREA)
    assert np.abs(back - expected)[2:-2, 2:-2].mean() < 0.02
    assert np.abs(found - flow.make_flow_function("tvl1")(*gray))[8:-8, 8:-8].max() < 0.3


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("size", [(15, 64), (64, 15), (8, 8)])
def test_short_side_is_refused(method, size):
    with pytest.raises(ValueError, match=f"at least 16 pixels. Received: {size[1]}x{size[0]}"):
        list(flow.compute_flow(frames(2, size=size), method))


@pytest.mark.parametrize("method", flow.METHODS)
def test_shortest_side_works_with_any_long_side(method):
    """Runs in its own process, because DIS crashes on shorter sides."""
    script = f"""
import cv2, numpy as np
from rlstm_tf.data.optical_flow import SHORTEST_SIDE, compute_flow
cv2.setNumThreads(1)
texture = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
for long in (SHORTEST_SIDE, 21, 28, 42, 64, 160, 900):
    for height, width in ((SHORTEST_SIDE, long), (long, SHORTEST_SIDE)):
        pair = texture[:height, :width], texture[1:][:height, 2:][:, :width]
        (levels,) = compute_flow(pair, {method!r})
        assert levels.shape == (2 * height, width)
"""
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


def test_build_flags_have_the_methods_and_the_shortest_side():
    from absl import flags

    from rlstm_tf.choices import STREAMS

    values = flags.FlagValues()
    build.define_flags(values)
    assert tuple(values["flow"].parser.enum_values) == flow.METHODS
    assert tuple(values["stream"].parser.enum_values) == STREAMS
    assert building._SHORTEST_SIDE == flow.SHORTEST_SIDE
