"""Crops and flips: the multi-scale corner crop of Temporal Segment Networks, and its test crops.

Boxes are worked out by functions of numbers alone, and cut out by `crop_and_resize` (images) and
`crop_flow` (optical flow).

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

# TSN's 13 places for a crop, (across, down) in quarters of the room that the crop leaves: corners,
# centre, middles of the edges, and the points halfway between the centre and each corner.
_PLACES = (
    ((0, 0), (4, 0), (0, 4), (4, 4))
    + ((2, 2),)
    + ((0, 2), (4, 2), (2, 0), (2, 4))
    + ((1, 1), (3, 1), (1, 3), (3, 3))
)


class Box(NamedTuple):
    """Part of an image, in pixels: `x` from the left, `y` from the top."""

    x: int
    y: int
    width: int
    height: int


def crop_sizes(
    height: int, width: int, scales: Sequence[float] = SCALES
) -> tuple[tuple[int, int], ...]:
    """The (width, height) that a training crop may have, all equally likely.

    A side is the shorter side of the image times a scale, rounded down as TSN does: 256, 224, 192
    and 168 (not 169) for 256. Width and height come from neighbouring scales at most, so that
    the shape of things is not stretched by more than one step.
    """
    return _crop_sides(min(height, width), tuple(scales))


@lru_cache(maxsize=64)
def _crop_sides(base: int, scales: tuple[float, ...]) -> tuple[tuple[int, int], ...]:
    sides = [max(1, int(base * scale)) for scale in scales]
    return tuple(
        (across, down)
        for i, down in enumerate(sides)
        for j, across in enumerate(sides)
        if abs(i - j) <= 1
    )


def crop_positions(height: int, width: int, crop_height: int, crop_width: int) -> list[Box]:
    """TSN's 13 places for a crop of this size, all equally likely; several coincide if it fills.

    For 340x256 and a crop of 224x224 the x are 0, 29, 58, 87, 116 and the y 0, 8, 16, 24, 32.
    """
    return [_at(place, height, width, crop_height, crop_width) for place in _PLACES]


def _at(place: tuple[int, int], height: int, width: int, crop_height: int, crop_width: int) -> Box:
    across, down = place
    x, y = across * (width - crop_width) // 4, down * (height - crop_height) // 4
    return Box(x, y, crop_width, crop_height)


def random_crop(
    height: int, width: int, rng: np.random.Generator, scales: Sequence[float] = SCALES
) -> Box:
    """Draws a training crop: first its size, then its place."""
    sides = crop_sizes(height, width, scales)
    crop_width, crop_height = sides[rng.integers(len(sides))]
    place = _PLACES[rng.integers(len(_PLACES))]
    return _at(place, height, width, crop_height, crop_width)


def evaluation_crops(height: int, width: int, image_size: int, num_crops: int = 1) -> list[Box]:
    """Square crops for evaluation: the centre, or the four corners and then the centre.

    The side is `image_size`, or the image's shorter side where that is less.

    Raises:
        ValueError: `num_crops` is not 1 or 5.
    """
    if num_crops not in NUM_CROPS:
        raise ValueError(f"num_crops must be one of {NUM_CROPS}. Received: {num_crops}")
    side = min(height, width, image_size)
    places = crop_positions(height, width, side, side)
    return places[4:5] if num_crops == 1 else places[:5]


def crop_and_resize(
    image: np.ndarray,
    box: Box,
    image_size: int,
    flip: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Cuts a box out of an image and resizes it (bilinear) to a square.

    Args:
        image: uint8 [H, W, C].
        box: inside the image.
        image_size: side S of the result, pixels.
        flip: mirror left and right.
        out: uint8 [S, S, C], contiguous, to write into; a new array if None.

    Returns:
        uint8 [S, S, C]: `out` where it is given.
    """
    if out is None:
        out = np.empty((image_size, image_size, image.shape[2]), np.uint8)
    part = image[box.y : box.y + box.height, box.x : box.x + box.width]
    # OpenCV knows single-channel images as [H, W]; through a view it still writes into `out`.
    target = out[..., 0] if out.shape[2] == 1 else out
    cv2.resize(part, (image_size, image_size), dst=target, interpolation=cv2.INTER_LINEAR)
    if flip:
        cv2.flip(target, 1, dst=target)
    return out


def crop_flow(
    fields: Sequence[np.ndarray], box: Box, image_size: int, flip: bool, out: np.ndarray
) -> None:
    """Cuts a box out of a snippet of flow fields and resizes it (bilinear) to a square.

    The vectors keep their length: they are pixels of the stored frames, as in TSN.

    Args:
        fields: L of them, uint8 [2H, W], levels of x over those of y (`flow.quantize`).
        box: inside a field.
        image_size: side S of the result, pixels.
        flip: mirror left and right, and so negate x.
        out: uint8 [S, S, 2L], contiguous, to write x_1, y_1, x_2, y_2 ... into.
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
