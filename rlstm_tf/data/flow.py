"""Optical flow as 8-bit levels: quantization, negation and display.

A flow field holds the motion of each pixel to the next frame: x to the right, y down, in pixels.
Both are clipped to [-BOUND, BOUND] and stored as levels 1 ... 255 (`ZERO`: no motion), with x above
y in one gray image [2H, W], so that a field is one JPEG instead of two.

TSN maps the same range to 0 ... 255, where no level is zero and negation is off by one level. Here,
both are exact, and a pixel of motion is 6.35 levels instead of 6.375.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2; arXiv 1811.07059, sec. 4.
"""

from __future__ import annotations

import cv2
import numpy as np

BOUND = 20.0
ZERO = 128
_LEVELS_PER_PIXEL = 127 / BOUND


def quantize(field: np.ndarray) -> np.ndarray:
    """Converts a flow field to levels.

    Args:
        field: float [H, W, 2], x and y in pixels per frame.

    Returns:
        Levels of x above those of y, uint8 [2H, W], 1 ... 255.

    Raises:
        ValueError: the field is not finite.
    """
    if not np.isfinite(field).all():
        raise ValueError("a flow field must be finite")
    levels = np.rint(np.clip(field, -BOUND, BOUND) * _LEVELS_PER_PIXEL) + ZERO
    return np.concatenate([levels[..., 0], levels[..., 1]]).astype(np.uint8)


def dequantize(levels: np.ndarray) -> np.ndarray:
    """Inverts `quantize`, up to half a level or 0.08 pixels.

    Args:
        levels: uint8 [2H, W].

    Returns:
        float32 [H, W, 2], x and y in pixels per frame.
    """
    x, y = np.split(levels.astype(np.float32) - ZERO, 2)
    return np.stack([x, y], axis=-1) / np.float32(_LEVELS_PER_PIXEL)


def negate(levels: np.ndarray) -> np.ndarray:
    """Returns the levels of the opposite motion: uint8 of any shape.

    Level 0, which only JPEG compression can produce, counts as 1.
    """
    # 255 - level + 1, at most 255. Flat, because OpenCV adds a scalar only to the first channel.
    flat = levels.reshape(len(levels), -1)
    return cv2.add(cv2.bitwise_not(flat), 1).reshape(levels.shape)


def to_rgb(x: np.ndarray, y: np.ndarray, full: float) -> np.ndarray:
    """Shows motion as colors: hue is the direction, saturation the length; white is no motion.

    Red is motion to the right, yellow-green down, cyan to the left.

    Args:
        x, y: float [..., H, W], levels minus `ZERO`.
        full: motion with full saturation, levels. At least 8 (1.3 pixels) is used, so that noise
            stays pale.

    Returns:
        uint8 [..., H, W, 3], RGB.
    """
    share = np.minimum(np.hypot(x, y) / max(full, 8.0), 1)
    # OpenCV's hues are 2 degrees wide.
    hue = np.rint(np.degrees(np.arctan2(y, x)) % 360 / 2) % 180
    hsv = np.stack([hue, 255 * share, np.full_like(hue, 255)], axis=-1)
    flat = np.rint(hsv).astype(np.uint8).reshape(-1, x.shape[-1], 3)
    return cv2.cvtColor(flat, cv2.COLOR_HSV2RGB).reshape(*x.shape, 3)
