"""Reads and applies the rotation and mirroring in a video's metadata."""

from __future__ import annotations

from typing import Any, NamedTuple

import av
import numpy as np

# About one degree, as in FFmpeg. Writers round sines, and phones record their exact angle.
_TOLERANCE = 0.02


class Orientation(NamedTuple):
    """Steps that turn a stored picture upright, in this order."""

    swap_axes: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Returns a view of an image [H, W, C], upright."""
        image = image.transpose(1, 0, 2) if self.swap_axes else image
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


def read_orientation(frame: av.VideoFrame) -> Orientation:
    """Reads the display matrix of a frame, rounded to the nearest right angle.

    Raises:
        ValueError: the matrix shears, or rotates by another angle.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    # 16.16 fixed-point numbers: x' = a x + c y, y' = b x + d y, with y pointing down.
    matrix = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].astype(float)
    # All zeros: players do not rotate such files.
    if np.abs(matrix).max() <= 1:
        return Orientation()
    large = np.abs(matrix) > _TOLERANCE * np.abs(matrix).max()
    (a, b), (c, d) = matrix.tolist()
    if np.array_equal(large, np.eye(2, dtype=bool)):
        return Orientation(False, a < 0, d < 0)
    if np.array_equal(large, ~np.eye(2, dtype=bool)):
        return Orientation(True, c < 0, b < 0)
    raise ValueError("is sheared, or rotated by an angle that is not a multiple of 90 degrees")
