"""Draws the motion in clips of the relational data set: each shape's position in each frame.

The public functions draw a clip of one of two classes. Their arguments are the random generator,
the number of frames F, and True for the first class. Lengths are as in `drawing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tfrecords_tools.synthetic.drawing import unit_vector

# As in `tfrecords_tools.synthetic.shapes`, but smaller, as there are more shapes.
RADIUS = (0.06, 0.085)
EDGE = 0.5 - RADIUS[1]
RED, BLUE, GREEN = range(3)


@dataclass
class ClipMotion:
    """The motion in a clip.

    Attributes:
        tracks: positions of the red, the blue and the green shape, [F, 3, 2] (shape, x y).
        hollow: True if the red shape has a hole.
        mark: positions of a yellow ring, [F, 2], if there is one.
        mark_visible: frames that show the ring, bool [F].
    """

    tracks: np.ndarray
    hollow: bool = False
    mark: np.ndarray | None = None
    mark_visible: np.ndarray | None = None


def _draw_progress(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Draws the fraction of a motion done in each frame; the speed changes once."""
    time = np.linspace(0, 1, num_frames)
    return np.interp(time, [0, rng.uniform(0.3, 0.7), 1], [0, 0.5, 1])


def _place(rng: np.random.Generator, tracks: np.ndarray) -> np.ndarray:
    """Moves all shapes to a random place where they stay in the picture, [F, K, 2]."""
    room = EDGE - np.abs(tracks).max(axis=(0, 1))
    return tracks + rng.uniform(-np.maximum(room, 0), np.maximum(room, 0))


def _drift(rng: np.random.Generator, num_frames: int, places: np.ndarray) -> np.ndarray:
    """Moves all shapes together, by a short way; `places` [3, 2] are relative to each other."""
    way = rng.uniform(0, 0.15) * unit_vector(rng.uniform(0, 2 * np.pi))
    centered = places - (places.min(axis=0) + places.max(axis=0)) / 2
    progress = _draw_progress(rng, num_frames) - 0.5
    return _place(rng, centered + progress[:, None, None] * way)


def draw_wanderer(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Draws the track of a shape that crosses a part of the picture, [F, 2]."""
    way = rng.uniform(0.05, 0.35) * unit_vector(rng.uniform(0, 2 * np.pi))
    track = (_draw_progress(rng, num_frames) - 0.5)[:, None] * way
    return _place(rng, track[:, None])[:, 0]


def _add_wanderers(rng: np.random.Generator, tracks: np.ndarray) -> np.ndarray:
    """Adds wandering shapes until there are three."""
    others = [draw_wanderer(rng, len(tracks)) for _ in range(3 - tracks.shape[1])]
    return np.concatenate([tracks, *(other[:, None] for other in others)], axis=1)


def _exchange(tracks: np.ndarray, first: bool, one: int, other: int) -> np.ndarray:
    """Exchanges the roles of two shapes in the second class of a pair."""
    order = [RED, BLUE, GREEN]
    if not first:
        order[one], order[other] = other, one
    return tracks[:, order]


def solid_or_hollow(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Draws a solid red shape, or one with a hole."""
    nobody = np.empty((num_frames, 0, 2))
    return ClipMotion(_add_wanderers(rng, nobody), hollow=not first)


def approach_or_recede(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Lets the red and the blue shape approach each other, or part."""
    nearest, farthest = rng.uniform(0.16, 0.24), rng.uniform(0.36, 0.5)
    distance = farthest + (nearest - farthest) * _draw_progress(rng, num_frames)
    between = distance[:, None] * unit_vector(rng.uniform(0, 2 * np.pi))
    two = _place(rng, np.stack([between / 2, -between / 2], axis=1))
    # Reversed in time.
    return ClipMotion(_add_wanderers(rng, two if first else two[::-1]))


def orbit(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Lets the red and the blue shape orbit each other, clockwise or counterclockwise."""
    turned = rng.uniform(0.5 * np.pi, 0.9 * np.pi) * _draw_progress(rng, num_frames)
    angle = rng.uniform(0, 2 * np.pi) + (turned if first else -turned)
    between = rng.uniform(0.28, 0.44) * unit_vector(angle)
    return ClipMotion(
        _add_wanderers(rng, _place(rng, np.stack([between / 2, -between / 2], axis=1)))
    )


def near(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Puts the red shape near the blue one and far from the green one, or the reverse."""
    angle = rng.uniform(0, 2 * np.pi)
    near = rng.uniform(0.16, 0.24) * unit_vector(angle)
    far = rng.uniform(0.36, 0.5) * unit_vector(angle + rng.uniform(0.5 * np.pi, 1.5 * np.pi))
    tracks = _drift(rng, num_frames, np.stack([np.zeros(2), near, far]))
    return ClipMotion(_exchange(tracks, first, BLUE, GREEN))


def between(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Puts the red or the blue shape between the other one and the green one."""
    angle = rng.uniform(0, 2 * np.pi)
    end = rng.uniform(0.36, 0.56) * unit_vector(angle)
    middle = rng.uniform(0.4, 0.6) * end + rng.uniform(-0.05, 0.05) * unit_vector(angle + np.pi / 2)
    tracks = _drift(rng, num_frames, np.stack([middle, np.zeros(2), end]))
    return ClipMotion(_exchange(tracks, first, RED, BLUE))


def directions(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Moves the red and the blue shape in the same direction, or in opposite ones.

    The other motion is frozen at a random stage, so that the distance and the midpoint in a single
    frame have the same distribution in both classes.
    """
    steps = _draw_progress(rng, num_frames) - 0.5
    other = np.full(num_frames, steps[rng.integers(num_frames)])
    together, apart = (steps, other) if first else (other, steps)
    ways = rng.uniform(0.12, 0.2, (2, 1)) * unit_vector(rng.uniform(0, 2 * np.pi, 2))
    middle = rng.uniform(-0.06, 0.06, 2) + together[:, None] * ways[0]
    half = (
        rng.uniform(0.1, 0.15) * unit_vector(rng.uniform(0, 2 * np.pi)) + apart[:, None] * ways[1]
    )
    return ClipMotion(_add_wanderers(rng, np.stack([middle + half, middle - half], axis=1)))


def _draw_turns(rng: np.random.Generator, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws the progress of two motions, one after the other."""
    time, change = np.linspace(0, 1, num_frames), rng.uniform(0.4, 0.6)
    return np.clip(time / change, 0, 1), np.clip((time - change) / (1 - change), 0, 1)


def _move_in_turn(
    rng: np.random.Generator, turns: Iterable[np.ndarray], ways: Iterable[np.ndarray]
) -> np.ndarray:
    """Moves the red and then the blue shape; the green shape stays, so that only two move."""
    two = [
        _place(rng, ((turn - 0.5)[:, None] * way)[:, None])[:, 0] for turn, way in zip(turns, ways)
    ]
    tracks = _add_wanderers(rng, np.stack(two, axis=1))
    tracks[:, GREEN] = tracks[:1, GREEN]
    return tracks


def who_first(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Moves the red and then the blue shape, or the reverse."""
    turns = _draw_turns(rng, num_frames)
    ways = rng.uniform(0.2, 0.4, (2, 1)) * unit_vector(rng.uniform(0, 2 * np.pi, 2))
    return ClipMotion(_exchange(_move_in_turn(rng, turns, ways), first, RED, BLUE))


def repeats(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Lets the blue shape repeat the motion of the red one before it, or reverse it."""
    turns = _draw_turns(rng, num_frames)
    way = rng.uniform(0.2, 0.4) * unit_vector(rng.uniform(0, 2 * np.pi))
    return ClipMotion(_move_in_turn(rng, turns, (way, way if first else -way)))


def _mark_ends(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns masks of the frames in the first eighth and in the last, bool [F]."""
    time = np.arange(num_frames) * 8 // num_frames
    return time == 0, time == 7


def marked_in_turn(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Puts a ring around the red shape first and the blue one last, or the reverse."""
    tracks = _add_wanderers(rng, np.empty((num_frames, 0, 2)))
    begin, end = _mark_ends(num_frames)
    shape_at_begin, shape_at_end = (RED, BLUE) if first else (BLUE, RED)
    mark = np.where(begin[:, None], tracks[:, shape_at_begin], tracks[:, shape_at_end])
    return ClipMotion(tracks, mark=mark, mark_visible=begin | end)


def returns(rng: np.random.Generator, num_frames: int, first: bool) -> ClipMotion:
    """Shows a ring first and last in the same place, or in two places."""
    tracks = _add_wanderers(rng, np.empty((num_frames, 0, 2)))
    begin, end = _mark_ends(num_frames)
    places = rng.uniform(-0.36, 0.36, (2, 2))
    while np.linalg.norm(places[0] - places[1]) < 0.4:
        places = rng.uniform(-0.36, 0.36, (2, 2))
    # In random order.
    here, there = places[rng.permutation(2)]
    mark = np.where(begin[:, None], here, here if first else there)
    return ClipMotion(tracks, mark=mark, mark_visible=begin | end)
