"""Frames of a video -> optical flow from each to the next, as 8-bit levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from rlstm_tf.data.flow import ZERO, quantize

# TV-L1 is the paper's and TSN's; DIS takes a hundredth of the time.
METHODS = ("tvl1", "dis")
# On long images with a shorter side DIS reads memory that is not its own, and the process dies;
# TV-L1 runs, and finds little that is true.
SHORTEST_SIDE = 16


def make_flow_function(method: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of two grey images, uint8 [H, W]: the flow from the first to the second.

    Args:
        method: `tvl1` (Zach, Pock and Bischof 2007, OpenCV's DualTVL1OpticalFlow with its own
            settings) or `dis` (Kroeger et al. 2016, the preset MEDIUM).

    Returns:
        The function; what it gives is float32 [H, W, 2], x and y in pixels.
    """
    if method == "tvl1":
        algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    else:
        algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda before, after: algorithm.calc(before, after, None)


def compute_flow(frames: Iterable[np.ndarray], method: str) -> Iterator[np.ndarray]:
    """The flow from each frame to the next, F - 1 fields for F frames.

    One frame gives one field without motion, so that both streams hold the same videos. No more
    than two frames are held in memory.

    Args:
        frames: uint8 [H, W, 3], BGR, at least one; all of one size, no side below `SHORTEST_SIDE`.
        method: see `make_flow_function`.

    Yields:
        uint8 [2H, W], see `rlstm_tf.data.flow.quantize`.

    Raises:
        ValueError: a side is too short.
    """
    flow = make_flow_function(method)
    images = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames)
    before = next(images)
    height, width = before.shape
    if min(height, width) < SHORTEST_SIDE:
        raise ValueError(
            f"flow needs sides of at least {SHORTEST_SIDE} pixels. Received: {width}x{height}"
        )
    alone = True
    for after in images:
        alone = False
        yield quantize(flow(before, after))
        before = after
    if alone:
        yield np.full((2 * height, width), ZERO, np.uint8)
