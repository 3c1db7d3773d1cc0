"""Crops and flips of Temporal Segment Networks: multi-scale corner crops, and test crops.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2; arXiv 1811.07059, sec. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from rlstm_tf.data import flow

SCALES = (1.0, 0.875, 0.75, 0.66)
NUM_CROPS = (1, 5)

# TSN's 13 crop positions (x, y), in quarters of the free space: the corners, the center, the
# middles of the edges, and the points halfway between the center and each corner.
_POSITIONS = (
    ((0, 0), (4, 0), (0, 4), (4, 4))
    + ((2, 2),)
    + ((0, 2), (4, 2), (2, 0), (2, 4))
    + ((1, 1), (3, 1), (1, 3), (3, 3))
)


class Box(NamedTuple):
    """A rectangle in an image, in pixels: `x` from the left, `y` from the top."""

    x: int
    y: int
    width: int
    height: int


def crop_sizes(
    height: int, width: int, scales: Sequence[float] = SCALES
) -> tuple[tuple[int, int], ...]:
    """Returns the (width, height) of all training crops, each equally likely.

    A side is the shorter side of the image times a scale, rounded down as in TSN: 256, 224, 192 and
    168 (not 169) for 256. The scales of width and height are equal or neighbors, to limit
    distortion.
    """
    return _crop_sizes(min(height, width), tuple(scales))


@lru_cache(maxsize=64)
def _crop_sizes(short_side: int, scales: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    sides = [max(1, int(short_side * scale)) for scale in scales]
    return tuple(
        (width, height)
        for i, height in enumerate(sides)
        for j, width in enumerate(sides)
        if abs(i - j) <= 1
    )


def crop_positions(height: int, width: int, crop_height: int, crop_width: int) -> list[Box]:
    """Returns TSN's 13 crops of a size, each equally likely; some coincide if a side is full.

    For 340x256 and a crop of 224x224, x is 0, 29, 58, 87 or 116 and y is 0, 8, 16, 24 or 32.
    """
    return [_make_box(position, height, width, crop_height, crop_width) for position in _POSITIONS]


def _make_box(
    position: tuple[int, int], height: int, width: int, crop_height: int, crop_width: int
) -> Box:
    x = position[0] * (width - crop_width) // 4
    y = position[1] * (height - crop_height) // 4
    return Box(x, y, crop_width, crop_height)


def random_crop(
    height: int, width: int, rng: np.random.Generator, scales: Sequence[float] = SCALES
) -> Box:
    """Draws a training crop: first its size, then its position."""
    sizes = crop_sizes(height, width, scales)
    crop_width, crop_height = sizes[rng.integers(len(sizes))]
    position = _POSITIONS[rng.integers(len(_POSITIONS))]
    return _make_box(position, height, width, crop_height, crop_width)


def evaluation_crops(height: int, width: int, image_size: int, num_crops: int = 1) -> list[Box]:
    """Returns square crops for evaluation: the center, or the four corners and then the center.

    The side is `image_size`, or the image's shorter side if that is less.

    Raises:
        ValueError: `num_crops` is not 1 or 5.
    """
    if num_crops not in NUM_CROPS:
        raise ValueError(f"num_crops must be one of {NUM_CROPS}. Received: {num_crops}")
    side = min(height, width, image_size)
    boxes = crop_positions(height, width, side, side)
    return boxes[4:5] if num_crops == 1 else boxes[:5]


def crop_and_resize(
    image: np.ndarray,
    box: Box,
    image_size: int,
    flip: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Crops an image and resizes it (bilinear) to a square.

    Args:
        image: uint8 [H, W, C].
        box: crop, inside the image.
        image_size: side S of the result, pixels.
        flip: mirror left and right.
        out: array to write into, uint8 [S, S, C], contiguous; allocated if None.

    Returns:
        `out`.
    """
    if out is None:
        out = np.empty((image_size, image_size, image.shape[2]), np.uint8)
    part = image[box.y : box.y + box.height, box.x : box.x + box.width]
    # OpenCV takes single-channel images as [H, W]; the view still writes into `out`.
    target = out[..., 0] if out.shape[2] == 1 else out
    cv2.resize(part, (image_size, image_size), dst=target, interpolation=cv2.INTER_LINEAR)
    if flip:
        cv2.flip(target, 1, dst=target)
    return out


def crop_flow(
    fields: Sequence[np.ndarray], box: Box, image_size: int, flip: bool, out: np.ndarray
) -> None:
    """Crops a snippet of flow fields and resizes them (bilinear) to a square.

    The vectors keep their length, in pixels of the stored frames, as in TSN.

    Args:
        fields: L flow fields, uint8 [2H, W], levels of x above those of y (`flow.quantize`).
        box: crop, inside a field.
        image_size: side S of the result, pixels.
        flip: mirror left and right, and negate x.
        out: array to write x_1, y_1, x_2, y_2 ... into, uint8 [S, S, 2L], contiguous.
    """
    planes = []
    for field in fields:
        height = field.shape[0] // 2
        for top in (0, height):
            y = top + box.y
            part = field[y : y + box.height, box.x : box.x + box.width]
            plane = cv2.resize(part, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
            if flip:
                plane = cv2.flip(plane, 1)
                if top == 0:
                    plane = flow.negate(plane)
            planes.append(plane)
    cv2.merge(planes, out)
