"""Computes the optical flow between consecutive frames, as 8-bit levels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from rlstm_tf.data.flow import ZERO, quantize

# TV-L1 is the method of the paper and of TSN; at half the size it takes a quarter to a third of the
# time, DIS a hundredth.
METHODS = ("tvl1", "tvl1_half", "dis")
# Pixels. On longer images with a shorter side, DIS reads out of bounds and crashes, and TV-L1 is
# inaccurate.
SHORTEST_SIDE = 16


def make_flow_function(method: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns a function that computes the flow between two images.

    Args:
        method: `tvl1` (Zach, Pock and Bischof 2007; OpenCV's DualTVL1OpticalFlow with its default
            settings), `tvl1_half` (the same on images of half the size, enlarged after) or `dis`
            (Kroeger et al. 2016; preset MEDIUM).

    Returns:
        A function from two gray images, uint8 [H, W], to the flow from the first to the second,
        float32 [H, W, 2], x and y in pixels.
    """
    if method == "dis":
        algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    else:
        algorithm = cv2.optflow.DualTVL1OpticalFlow_create()

    def flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return algorithm.calc(before, after, None)

    def flow_at_half_size(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        height, width = before.shape
        small = (round(width / 2), round(height / 2))
        pair = (cv2.resize(image, small, interpolation=cv2.INTER_AREA) for image in (before, after))
        field = cv2.resize(flow(*pair), (width, height))
        return field * np.array([width / small[0], height / small[1]], np.float32)

    return flow_at_half_size if method == "tvl1_half" else flow


def compute_flow(frames: Iterable[np.ndarray], method: str) -> Iterator[np.ndarray]:
    """Computes the flow from each frame to the next, F - 1 flow fields for F frames.

    A single frame gives one field without motion, so that both streams have the same videos. At
    most two frames are in memory.

    Args:
        frames: one or more frames of equal size, uint8 [H, W, 3], BGR, with sides of at least
            `SHORTEST_SIDE`.
        method: one of `METHODS`.

    Yields:
        Levels, uint8 [2H, W] (`rlstm_tf.data.flow.quantize`).

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
    single = True
    for after in images:
        single = False
        yield quantize(flow(before, after))
        before = after
    if single:
        yield np.full((2 * height, width), ZERO, np.uint8)
