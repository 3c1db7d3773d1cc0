"""Random changes of a training clip, the same for all its frames; and the crops of tests.

The paper's are the multi-scale corner crops and flips of TSN. Color jitter, random erasing and
mixup are not the paper's, and off by default.

Sources: Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2; arXiv 1811.07059, sec. 4.
Color: Howard, arXiv 1312.5402. Erasing: Zhong et al., arXiv 1708.04896. Mixup: Zhang et al.,
arXiv 1710.09412; `rlstm_tf.data.device_augmentation.mix` mixes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from rlstm_tf.data import flow

SCALES = (1.0, 0.875, 0.75, 0.66)
NUM_CROPS = (1, 5)
# Of erased pixels: gray; in flow, no motion.
ERASED = flow.ZERO

# Shares of red, green and blue in brightness (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])
_GRAY = 127.5
# Area of an erased rectangle, as a share of the frame, and the least ratio of its sides. Zhong et
# al. go up to an area of 0.4, and draw again what does not fit. Up to 0.3, every ratio fits.
_ERASED_AREA, _LEAST_RATIO = (0.02, 0.3), 0.3

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


def random_colors(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draws brightness, contrast and saturation, each from 1 - strength to 1 + strength.

    Returns:
        Their `color_map`.
    """
    return color_map(*rng.uniform(1 - strength, 1 + strength, 3))


def color_map(brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Returns the affine map of a pixel (R, G, B, 1) that changes a clip's colors.

    Brightness is a distance from black, contrast one from mid-gray, saturation one from the gray of
    equal luma; the factors scale these distances, in this order. Mid-gray is 127.5 and not a
    frame's own mean, so that the map is the same for all frames.

    Returns:
        float32 [3, 4].
    """
    saturate = saturation * np.eye(3) + (1 - saturation) * _LUMA
    offset = np.full((3, 1), (1 - contrast) * _GRAY)
    return np.hstack([brightness * contrast * saturate, offset]).astype(np.float32)


def change_colors(frames: np.ndarray, colors: np.ndarray) -> None:
    """Changes the colors of a clip in place, up to one level of rounding.

    Args:
        frames: uint8 [T, S, S, 3], RGB, contiguous.
        colors: float32 [3, 4], a `color_map`.
    """
    image = frames.reshape(-1, *frames.shape[2:])
    image[...] = cv2.transform(image, colors)


def random_rectangle(image_size: int, rng: np.random.Generator) -> Box:
    """Draws the rectangle to erase: its area, the ratio of its sides, and its place.

    Args:
        image_size: side S of the frames, pixels.
        rng: random number generator.
    """
    area = image_size**2 * rng.uniform(*_ERASED_AREA)
    ratio = math.exp(rng.uniform(math.log(_LEAST_RATIO), -math.log(_LEAST_RATIO)))
    height, width = (max(1, round(math.sqrt(s))) for s in (area * ratio, area / ratio))
    x, y = rng.integers(image_size - width + 1), rng.integers(image_size - height + 1)
    return Box(int(x), int(y), width, height)


def erase(frames: np.ndarray, box: Box) -> None:
    """Erases a rectangle of a clip in place: `ERASED` in uint8 [T, S, S, C]."""
    frames[:, box.y : box.y + box.height, box.x : box.x + box.width] = ERASED
