"""Draws shapes, and a moving texture behind them.

Lengths are fractions of the picture side, so that a clip of any size shows the same scene. The
picture's center is (0, 0), x points right and y down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Look(NamedTuple):
    """The look of a shape.

    Attributes:
        kind: one of `KINDS`, or `cross`.
        radius: about half its width.
        turn: rotation, radians.
        color: red, green and blue, 0..255.
        hole: radius of a hole of the same kind in its middle; 0 means none.
    """

    kind: str
    radius: float
    turn: float
    color: np.ndarray
    hole: float = 0.0


def paint(
    picture: np.ndarray, positions: np.ndarray, look: Look, visible: np.ndarray | None = None
) -> None:
    """Paints a shape over the frames of a clip.

    Args:
        picture: float32 [F, S, S, 3], changed in place.
        positions: its center in each frame, float32 [F, 2] (x, y).
        look: kind, size and color.
        visible: bool [F], frames that show it; all if None.
    """
    size = picture.shape[1]
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x = grid[None, None, :] - positions[:, 0, None, None]
    y = grid[None, :, None] - positions[:, 1, None, None]
    cos, sin = np.float32(np.cos(look.turn)), np.float32(np.sin(look.turn))
    along_x, along_y = cos * x + sin * y, cos * y - sin * x
    distance = _DISTANCES[look.kind]
    outside = distance(along_x, along_y, look.radius)
    if look.hole:
        outside = np.maximum(outside, -distance(along_x, along_y, look.hole))
    # Antialiasing: half a pixel on both sides of the edge is blended.
    cover = np.clip(0.5 - outside * size, 0, 1)[..., None]
    if visible is not None:
        cover *= visible[:, None, None, None]
    picture += cover * (look.color.astype(np.float32) - picture)


def to_pixels(picture: np.ndarray) -> np.ndarray:
    """Rounds float32 0..255 to uint8."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def unit_vector(angle: np.ndarray | float) -> np.ndarray:
    """Returns the unit vector [..., 2] at an angle in radians; a growing angle turns clockwise."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _square(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.85 * radius)


def _triangle(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    slope = np.float32(np.sqrt(3) / 2)
    return np.maximum(slope * np.abs(x) + y / 2, -y) - np.float32(0.65 * radius)


def _diamond(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return (1.5 * np.abs(x) + np.abs(y)) / np.float32(np.sqrt(3.25)) - np.float32(0.75 * radius)


def _cross(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    longer, shorter = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.maximum(longer - np.float32(radius), shorter - np.float32(0.3 * radius))


# Kind -> signed distance of points from the edge, in picture sides; negative inside. `shapes` and
# `relations` draw one of these at random, so another one would change their clips.
KINDS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
}
_DISTANCES = {**KINDS, "cross": _cross}


def draw_background(
    rng: np.random.Generator, num_frames: int, size: int, camera: float
) -> np.ndarray:
    """Draws a gray texture of plane waves that drifts by.

    Args:
        rng: draws the texture and its drift.
        num_frames: F.
        size: S, pixels.
        camera: maximum drift over the clip, picture sides.

    Returns:
        float32 [F, S, S, 3], 0..255.
    """
    waves = 12
    frequency = rng.uniform(1, 9, size=waves) * 2 * np.pi
    direction = unit_vector(rng.uniform(0, 2 * np.pi, size=waves)) * frequency[:, None]
    phase = rng.uniform(0, 2 * np.pi, size=waves)
    drift = rng.uniform(-camera, camera, size=2)
    grid = (np.arange(size) + 0.5) / size
    time = np.linspace(0, 1, num_frames)
    # cos(a + b) = cos a cos b - sin a sin b: one matrix product for all waves and frames.
    across = direction[:, 0] * grid[:, None]
    down = direction[:, 1] * grid[:, None] + phase + (time[:, None] * (direction @ drift))[:, None]
    rows = np.concatenate([np.cos(down), -np.sin(down)], axis=-1).astype(np.float32)
    columns = np.concatenate([np.cos(across), np.sin(across)], axis=-1).astype(np.float32)
    texture = rows @ columns.T * np.float32(rng.uniform(20, 45) / np.sqrt(waves))
    light = rng.uniform(80, 175) + rng.uniform(-12, 12, size=3)
    return texture[..., None] + light.astype(np.float32)
