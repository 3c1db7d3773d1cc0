"""Draws the clips of the embedded data set: a red and a blue shape in eight kinds of motion.

What happens is told by order and roles alone. Recede is Approach backwards, BlueChasesRed is
RedChasesBlue with the colours exchanged, the orbits are mirror images; in every class the shapes
are seen at distances from the same range, anywhere in the picture, in any direction. So one frame,
or the frames without their order, tell little of the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CLASSES = (
    "Approach",
    "Recede",
    "RedChasesBlue",
    "BlueChasesRed",
    "OrbitClockwise",
    "OrbitCounterclockwise",
    "Swap",
    "PartAndMeet",
)

# Lengths are in picture sides, so that a clip of any size shows the same scene. The farthest
# distance, the longest chase and the widest shapes together still fit between two edges.
RADIUS = (0.075, 0.095)
NEAREST = 0.26
FARTHEST = (0.36, 0.5)
APART = (0.28, 0.44)
CHASE = 0.3
MARGIN = 0.02
DRIFT = 0.03
JITTER = 0.004
CAMERA = 0.3


@dataclass(frozen=True)
class Motion:
    """What one clip's motion is made of, drawn before its class is looked at.

    Attributes:
        progress: how far the motion has come in each frame, rising from 0 to 1, [F].
        angle: direction from the blue shape to the red one at the start, radians.
        nearest, farthest: distances of the centres between which the shapes come and go.
        distance: distance of the centres where it does not change, between those two.
        turn: angle of an orbit, radians.
        chase: length of a chase.
    """

    progress: np.ndarray
    angle: float
    nearest: float
    farthest: float
    distance: float
    turn: float
    chase: float


def scene(
    class_name: str,
    group: int,
    clip: int,
    num_frames: int,
    size: int,
    seed: int,
    camera: float = CAMERA,
) -> np.ndarray:
    """Draws one clip; the same arguments always give the same pixels.

    Clips of one group share the background in every class, so that it tells nothing of the class.

    Args:
        class_name: one of `CLASSES`.
        group: number of the clip's group.
        clip: number of the clip within its group.
        num_frames: F.
        size: height and width S in pixels.
        seed: of the whole data set.
        camera: farthest that the background drifts in a clip, picture sides.

    Returns:
        RGB frames, uint8, [F, S, S, 3].
    """
    rng = np.random.default_rng((seed, group, clip, CLASSES.index(class_name)))
    radii = rng.uniform(*RADIUS, size=2)
    positions = _positions(class_name, radii, num_frames, rng)
    picture = _background(np.random.default_rng((seed, group)), num_frames, size, camera)
    kinds = rng.choice(list(_KINDS), size=2)
    turns = rng.uniform(0, 2 * np.pi, size=2)
    colours = rng.uniform((185, 20, 20), (255, 60, 60)), rng.uniform((20, 40, 185), (60, 80, 255))
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    # The one drawn last covers the other where they meet.
    for shape in rng.permutation(2):
        x = grid[None, None, :] - positions[:, shape, 0, None, None]
        y = grid[None, :, None] - positions[:, shape, 1, None, None]
        cos, sin = np.float32(np.cos(turns[shape])), np.float32(np.sin(turns[shape]))
        outside = _KINDS[kinds[shape]](cos * x + sin * y, cos * y - sin * x, radii[shape])
        # Half a pixel on both sides of the edge is mixed.
        cover = np.clip(0.5 - outside * size, 0, 1)[..., None]
        picture += cover * (colours[shape].astype(np.float32) - picture)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _positions(
    class_name: str, radii: np.ndarray, num_frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Centres of the red and the blue shape, from the picture's centre, [F, 2, 2] (shape, x y)."""
    touching = 0.9 * radii.sum()
    nearest = rng.uniform(touching, NEAREST)
    farthest = rng.uniform(*FARTHEST)
    distance = rng.uniform(*APART)
    span = 1 - 2 * (radii.max() + MARGIN)
    motion = Motion(
        progress=np.interp(
            np.linspace(0, 1, num_frames), [0, rng.uniform(0.25, 0.75), 1], [0, 0.5, 1]
        ),
        angle=rng.uniform(0, 2 * np.pi),
        nearest=nearest,
        farthest=farthest,
        distance=distance,
        turn=rng.uniform(0.45 * np.pi, 0.75 * np.pi),
        chase=rng.uniform(CHASE, span - distance),
    )
    between, middle = _MOTIONS[class_name](motion)
    drift = rng.uniform(-DRIFT, DRIFT, size=2) * np.linspace(-1, 1, num_frames)[:, None]
    positions = np.stack([middle + between / 2, middle - between / 2], axis=1) + drift[:, None]
    positions += rng.normal(0, JITTER, positions.shape)
    # The room is the same for all classes, whether they use it or not; otherwise a near pair in a
    # corner could only be one of those that never part.
    room = 0.5 - radii.max() - farthest / 2
    positions += rng.uniform(-room, room, size=2)
    edge = 0.5 - radii.max()
    low, high = positions.min(axis=(0, 1)), positions.max(axis=(0, 1))
    positions += np.maximum(-edge - low, 0) - np.maximum(high - edge, 0)
    return positions.astype(np.float32)


def _along(angle: np.ndarray | float) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _approach(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    distance = motion.farthest + (motion.nearest - motion.farthest) * motion.progress
    return distance[:, None] * _along(motion.angle), np.zeros(2)


def _recede(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    between, middle = _approach(motion)
    return between[::-1], middle


def _red_chases_blue(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    between = motion.distance * _along(motion.angle)
    # `between` points from blue to red: both run the other way, blue in front.
    middle = (0.5 - motion.progress[:, None]) * motion.chase * _along(motion.angle)
    return np.broadcast_to(between, middle.shape), middle


def _blue_chases_red(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    between, middle = _red_chases_blue(motion)
    return -between, middle


def _orbit_clockwise(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    # y points down, so that a growing angle turns clockwise.
    return motion.distance * _along(motion.angle + motion.turn * motion.progress), np.zeros(2)


def _orbit_counterclockwise(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    return motion.distance * _along(motion.angle - motion.turn * motion.progress), np.zeros(2)


def _swap(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    # They pass each other side by side, no nearer than in the other classes.
    aside = motion.nearest * _along(motion.angle + np.pi / 2)
    ahead = motion.farthest * (1 - 2 * motion.progress[:, None]) * _along(motion.angle)
    return ahead + aside, np.zeros(2)


def _part_and_meet(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    apart = 1 - np.abs(1 - 2 * motion.progress)
    distance = motion.nearest + (motion.farthest - motion.nearest) * apart
    return distance[:, None] * _along(motion.angle), np.zeros(2)


# Class -> vector from the blue shape to the red one [F, 2], middle between them [F, 2] or [2].
_MOTIONS: dict[str, Callable[[Motion], tuple[np.ndarray, np.ndarray]]] = dict(
    zip(
        CLASSES,
        (
            _approach,
            _recede,
            _red_chases_blue,
            _blue_chases_red,
            _orbit_clockwise,
            _orbit_counterclockwise,
            _swap,
            _part_and_meet,
        ),
    )
)


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.sqrt(x * x + y * y) - np.float32(radius)


def _square(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - np.float32(0.85 * radius)


def _triangle(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    slope = np.float32(np.sqrt(3) / 2)
    return np.maximum(slope * np.abs(x) + y / 2, -y) - np.float32(0.65 * radius)


def _diamond(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return (1.5 * np.abs(x) + np.abs(y)) / np.float32(np.sqrt(3.25)) - np.float32(0.75 * radius)


# Kind -> signed distance of points from the edge, negative inside, in picture sides.
_KINDS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
}


def _background(rng: np.random.Generator, num_frames: int, size: int, camera: float) -> np.ndarray:
    """A grey texture of plane waves that drifts by; float32 [F, S, S, 3], 0..255."""
    waves = 12
    frequency = rng.uniform(1, 9, size=waves) * 2 * np.pi
    direction = _along(rng.uniform(0, 2 * np.pi, size=waves)) * frequency[:, None]
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
