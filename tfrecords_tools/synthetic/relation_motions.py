"""What happens in the clips of the relational data set: where each shape is in each frame.

Each function here draws a clip of one of two classes: its arguments are the generator, the number
of frames F, and whether the clip is of the first class. Lengths are as in `drawing`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrecords_tools.synthetic.drawing import along

# As in `tfrecords_tools.synthetic.shapes`; smaller, for there are more of them.
RADIUS = (0.06, 0.085)
EDGE = 0.5 - RADIUS[1]
RED, BLUE, GREEN = range(3)


@dataclass
class Play:
    """What happens in a clip.

    Attributes:
        tracks: of the red, the blue and the green shape, [F, 3, 2] (shape, x y).
        hollow: whether the red one has a hole.
        mark: track of a yellow ring, [F, 2], if there is one.
        marked: frames that show it, bool [F].
    """

    tracks: np.ndarray
    hollow: bool = False
    mark: np.ndarray | None = None
    marked: np.ndarray | None = None


def _progress(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """How far a motion has come in each frame, from 0 to 1, at a speed that changes once."""
    time = np.linspace(0, 1, num_frames)
    return np.interp(time, [0, rng.uniform(0.3, 0.7), 1], [0, 0.5, 1])


def _placed(rng: np.random.Generator, tracks: np.ndarray) -> np.ndarray:
    """Moves shapes together to a place where all of them stay in the picture, [F, K, 2]."""
    room = EDGE - np.abs(tracks).max(axis=(0, 1))
    return tracks + rng.uniform(-np.maximum(room, 0), np.maximum(room, 0))


def _centred(tracks: np.ndarray) -> np.ndarray:
    low, high = tracks.min(axis=(0, 1)), tracks.max(axis=(0, 1))
    return tracks - (low + high) / 2


def wander(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """A shape that crosses a part of the picture, [F, 2]."""
    way = rng.uniform(0.05, 0.35) * along(rng.uniform(0, 2 * np.pi))
    track = (_progress(rng, num_frames) - 0.5)[:, None] * way
    return _placed(rng, track[:, None])[:, 0]


def _with_wanderers(rng: np.random.Generator, tracks: np.ndarray) -> np.ndarray:
    """Adds shapes that wander to those of a play, up to three."""
    others = [wander(rng, len(tracks)) for _ in range(3 - tracks.shape[1])]
    return np.concatenate([tracks, *(other[:, None] for other in others)], axis=1)


def _exchanged(tracks: np.ndarray, first: bool, one: int, other: int) -> np.ndarray:
    """`tracks`, or in the pair's second class the same with two shapes' parts exchanged."""
    order = [RED, BLUE, GREEN]
    if not first:
        order[one], order[other] = other, one
    return tracks[:, order]


def solid_or_hollow(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red shape is whole, or has a hole."""
    nobody = np.empty((num_frames, 0, 2))
    return Play(_with_wanderers(rng, nobody), hollow=not first)


def approach_or_recede(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red and the blue shape come near to each other, or part."""
    nearest, farthest = rng.uniform(0.16, 0.24), rng.uniform(0.36, 0.5)
    distance = farthest + (nearest - farthest) * _progress(rng, num_frames)
    between = distance[:, None] * along(rng.uniform(0, 2 * np.pi))
    two = _placed(rng, np.stack([between / 2, -between / 2], axis=1))
    # Time turned round.
    return Play(_with_wanderers(rng, two if first else two[::-1]))


def orbit(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red and the blue shape turn about each other, clockwise or the other way."""
    turned = rng.uniform(0.5 * np.pi, 0.9 * np.pi) * _progress(rng, num_frames)
    angle = rng.uniform(0, 2 * np.pi) + (turned if first else -turned)
    between = rng.uniform(0.28, 0.44) * along(angle)
    return Play(_with_wanderers(rng, _placed(rng, np.stack([between / 2, -between / 2], axis=1))))


def near(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red shape is near the blue one and far from the green one, or the other way round."""
    angle = rng.uniform(0, 2 * np.pi)
    near = rng.uniform(0.16, 0.24) * along(angle)
    far = rng.uniform(0.36, 0.5) * along(angle + rng.uniform(0.5 * np.pi, 1.5 * np.pi))
    way = rng.uniform(0, 0.15) * along(rng.uniform(0, 2 * np.pi))
    places = _centred(np.stack([np.zeros(2), near, far])[None])
    moved = places + (_progress(rng, num_frames) - 0.5)[:, None, None] * way
    return Play(_exchanged(_placed(rng, moved), first, BLUE, GREEN))


def between(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red or the blue shape is between the other one and the green one."""
    angle = rng.uniform(0, 2 * np.pi)
    end = rng.uniform(0.36, 0.56) * along(angle)
    middle = rng.uniform(0.4, 0.6) * end + rng.uniform(-0.05, 0.05) * along(angle + np.pi / 2)
    way = rng.uniform(0, 0.15) * along(rng.uniform(0, 2 * np.pi))
    places = _centred(np.stack([middle, np.zeros(2), end])[None])
    moved = places + (_progress(rng, num_frames) - 0.5)[:, None, None] * way
    return Play(_exchanged(_placed(rng, moved), first, RED, BLUE))


def directions(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red and the blue shape move the same way, or opposite ways.

    What they do not do they have done to an extent drawn beforehand: so that in a single frame
    their distance, and their middle, are what they could be in the other class.
    """
    steps = _progress(rng, num_frames) - 0.5
    other = np.full(num_frames, steps[rng.integers(num_frames)])
    together, apart = (steps, other) if first else (other, steps)
    ways = rng.uniform(0.12, 0.2, (2, 1)) * along(rng.uniform(0, 2 * np.pi, 2))
    middle = rng.uniform(-0.06, 0.06, 2) + together[:, None] * ways[0]
    half = rng.uniform(0.1, 0.15) * along(rng.uniform(0, 2 * np.pi)) + apart[:, None] * ways[1]
    return Play(_with_wanderers(rng, np.stack([middle + half, middle - half], axis=1)))


def _turns(rng: np.random.Generator, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Progress of a motion in a clip's first part, and of another one in the rest."""
    time, change = np.linspace(0, 1, num_frames), rng.uniform(0.4, 0.6)
    return np.clip(time / change, 0, 1), np.clip((time - change) / (1 - change), 0, 1)


def who_first(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """One moves, and only then the other."""
    turns = _turns(rng, num_frames)
    ways = rng.uniform(0.2, 0.4, (2, 1)) * along(rng.uniform(0, 2 * np.pi, 2))
    two = [
        _placed(rng, ((turn - 0.5)[:, None] * way)[:, None])[:, 0] for turn, way in zip(turns, ways)
    ]
    tracks = _with_wanderers(rng, np.stack(two, axis=1))
    # The green one stays where it is, or it would be a third that moves.
    tracks[:, GREEN] = tracks[:1, GREEN]
    return Play(_exchanged(tracks, first, RED, BLUE))


def repeats(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The blue shape goes the way that the red one went before it, or the opposite way."""
    turns = _turns(rng, num_frames)
    way = rng.uniform(0.2, 0.4) * along(rng.uniform(0, 2 * np.pi))
    two = [
        _placed(rng, ((turn - 0.5)[:, None] * sign * way)[:, None])[:, 0]
        for turn, sign in zip(turns, (1, 1 if first else -1))
    ]
    tracks = _with_wanderers(rng, np.stack(two, axis=1))
    tracks[:, GREEN] = tracks[:1, GREEN]
    return Play(tracks)


def _ends(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames of the first eighth, and of the last."""
    time = np.arange(num_frames) * 8 // num_frames
    return time == 0, time == 7


def marked_in_turn(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """A ring is round the red shape at first and round the blue one at last, or the other way."""
    tracks = _with_wanderers(rng, np.empty((num_frames, 0, 2)))
    begin, end = _ends(num_frames)
    of_begin, of_end = (RED, BLUE) if first else (BLUE, RED)
    mark = np.where(begin[:, None], tracks[:, of_begin], tracks[:, of_end])
    return Play(tracks, mark=mark, marked=begin | end)


def returns(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """A ring that is seen at first is at last seen in the same place, or in another one."""
    tracks = _with_wanderers(rng, np.empty((num_frames, 0, 2)))
    begin, end = _ends(num_frames)
    places = rng.uniform(-0.36, 0.36, (2, 2))
    while np.linalg.norm(places[0] - places[1]) < 0.4:
        places = rng.uniform(-0.36, 0.36, (2, 2))
    # Not always the place that was drawn first.
    here, there = places[rng.permutation(2)]
    mark = np.where(begin[:, None], here, here if first else there)
    return Play(tracks, mark=mark, marked=begin | end)
