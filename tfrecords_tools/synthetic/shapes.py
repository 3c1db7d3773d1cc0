"""Draws the clips of the demo data set: a red and a blue shape in eight kinds of motion.

Only order and roles distinguish the classes. Recede is Approach backwards, BlueChasesRed is
RedChasesBlue with the colors exchanged, the orbits are mirror images. In every class the shapes are
at distances from the same range, anywhere in the picture, in any direction, so that one frame, or
the frames without their order, reveal little about the class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfrecords_tools.synthetic.drawing import (
    KINDS,
    Look,
    draw_background,
    paint,
    to_pixels,
    unit_vector,
)

# Lengths in picture sides. The farthest distance, the longest chase and the widest shapes together
# still fit into the picture.
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
class _Motion:
    """Random values of a clip's motion, drawn independently of its class."""

    progress: np.ndarray  # [F], fraction of the motion done in each frame, from 0 to 1
    angle: float  # direction from the blue shape to the red one at the start, radians
    nearest: float  # distance between the centers, if it changes
    farthest: float
    distance: float  # distance between the centers, if it does not change
    turn: float  # angle of an orbit, radians
    chase: float  # length of a chase


def draw_scene(
    class_name: str,
    group: int,
    clip: int,
    num_frames: int,
    size: int,
    seed: int,
    camera: float = CAMERA,
) -> np.ndarray:
    """Draws one clip; the same arguments always give the same pixels.

    Clips of one group share the background in every class, so that it does not reveal the class.

    Args:
        class_name: one of `CLASSES`.
        group: number of the clip's group.
        clip: number of the clip within its group.
        num_frames: F.
        size: height and width S, pixels.
        seed: seed of the whole data set.
        camera: maximum drift of the background in a clip, picture sides.

    Returns:
        RGB frames, uint8, [F, S, S, 3].
    """
    rng = np.random.default_rng((seed, group, clip, CLASSES.index(class_name)))
    radii = rng.uniform(*RADIUS, size=2)
    positions = _draw_positions(class_name, radii, num_frames, rng)
    picture = draw_background(np.random.default_rng((seed, group)), num_frames, size, camera)
    kinds = rng.choice(list(KINDS), size=2)
    turns = rng.uniform(0, 2 * np.pi, size=2)
    colors = rng.uniform((185, 20, 20), (255, 60, 60)), rng.uniform((20, 40, 185), (60, 80, 255))
    # The shape drawn last covers the other where they overlap.
    for shape in rng.permutation(2):
        look = Look(str(kinds[shape]), radii[shape], turns[shape], colors[shape])
        paint(picture, positions[:, shape], look)
    return to_pixels(picture)


def _draw_positions(
    class_name: str, radii: np.ndarray, num_frames: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws the centers of the red and the blue shape, [F, 2, 2] (shape, x y)."""
    touching = 0.9 * radii.sum()
    nearest = rng.uniform(touching, NEAREST)
    farthest = rng.uniform(*FARTHEST)
    distance = rng.uniform(*APART)
    span = 1 - 2 * (radii.max() + MARGIN)
    motion = _Motion(
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
    # The same margin for all classes, whether they use it or not. Otherwise a near pair in a corner
    # could only belong to a class whose shapes never part.
    room = 0.5 - radii.max() - farthest / 2
    positions += rng.uniform(-room, room, size=2)
    edge = 0.5 - radii.max()
    low, high = positions.min(axis=(0, 1)), positions.max(axis=(0, 1))
    positions += np.maximum(-edge - low, 0) - np.maximum(high - edge, 0)
    return positions.astype(np.float32)


def _approach(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    distance = motion.farthest + (motion.nearest - motion.farthest) * motion.progress
    return distance[:, None] * unit_vector(motion.angle), np.zeros(2)


def _recede(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    between, middle = _approach(motion)
    return between[::-1], middle


def _red_chases_blue(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    between = motion.distance * unit_vector(motion.angle)
    # `between` points from blue to red: both run the other way, blue in front.
    middle = (0.5 - motion.progress[:, None]) * motion.chase * unit_vector(motion.angle)
    return np.broadcast_to(between, middle.shape), middle


def _blue_chases_red(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    between, middle = _red_chases_blue(motion)
    return -between, middle


def _orbit_clockwise(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    # y points down, so a growing angle turns clockwise.
    return motion.distance * unit_vector(motion.angle + motion.turn * motion.progress), np.zeros(2)


def _orbit_counterclockwise(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    return motion.distance * unit_vector(motion.angle - motion.turn * motion.progress), np.zeros(2)


def _swap(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    # The shapes pass each other side by side, no nearer than in the other classes.
    aside = motion.nearest * unit_vector(motion.angle + np.pi / 2)
    ahead = motion.farthest * (1 - 2 * motion.progress[:, None]) * unit_vector(motion.angle)
    return ahead + aside, np.zeros(2)


def _part_and_meet(motion: _Motion) -> tuple[np.ndarray, np.ndarray]:
    apart = 1 - np.abs(1 - 2 * motion.progress)
    distance = motion.nearest + (motion.farthest - motion.nearest) * apart
    return distance[:, None] * unit_vector(motion.angle), np.zeros(2)


# Class -> vector from the blue shape to the red one [F, 2], and their midpoint [F, 2] or [2].
_MOTIONS: dict[str, Callable[[_Motion], tuple[np.ndarray, np.ndarray]]] = {
    "Approach": _approach,
    "Recede": _recede,
    "RedChasesBlue": _red_chases_blue,
    "BlueChasesRed": _blue_chases_red,
    "OrbitClockwise": _orbit_clockwise,
    "OrbitCounterclockwise": _orbit_counterclockwise,
    "Swap": _swap,
    "PartAndMeet": _part_and_meet,
}
CLASSES = tuple(_MOTIONS)
