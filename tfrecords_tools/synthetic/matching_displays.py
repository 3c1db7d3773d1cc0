"""Draws what clips of the matching data set show: kinds of shapes, where they are, and when.

The public functions draw a clip of one of two classes. Their arguments are the random generator,
the number of frames F, and True for the first class. Lengths are as in `drawing`.

Shapes are placed independently of their kinds, and a kind is a number that stands for no look: the
first kinds of a clip are as likely to be any others. So each kind is equally likely in both classes
of a pair, at each place and time, and only comparing shapes tells the classes apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrecords_tools.synthetic.drawing import unit_vector

NUM_KINDS = 18
# Shapes never touch, nor does the ring around one: centers are `_GAP` apart, and move half of
# `_WAY` to each side.
RADIUS = (0.08, 0.1)
_WAY = 0.05
_EDGE = 0.5 - RADIUS[1] - _WAY / 2
_GAP = 0.29


@dataclass
class Display:
    """The shapes of a clip.

    Attributes:
        kinds: kind of each shape, int [K], 0..`NUM_KINDS` - 1.
        tracks: positions, [F, K, 2] (shape, x y).
        visible: frames that show each shape, bool [F, K].
        marked: number of the shape with a ring around it, if one has.
        mark_visible: frames that show the ring, bool [F].
    """

    kinds: np.ndarray
    tracks: np.ndarray
    visible: np.ndarray
    marked: int | None = None
    mark_visible: np.ndarray | None = None


def _draw_kinds(rng: np.random.Generator, number: int) -> np.ndarray:
    """Draws kinds that all differ."""
    return rng.permutation(NUM_KINDS)[:number]


def _draw_tracks(rng: np.random.Generator, num_frames: int, number: int) -> np.ndarray:
    """Draws the tracks of shapes that hardly move and never touch, [F, K, 2]."""
    one, other = np.triu_indices(number, 1)
    good: np.ndarray = np.empty(0, int)
    while not len(good):
        tries = rng.uniform(-_EDGE, _EDGE, (64, number, 2))
        gaps = np.linalg.norm(tries[:, one] - tries[:, other], axis=-1)
        good = np.flatnonzero(gaps.min(axis=1) > _GAP)
    ways = rng.uniform(0, _WAY, (number, 1)) * unit_vector(rng.uniform(0, 2 * np.pi, number))
    return tries[good[0]] + np.linspace(-0.5, 0.5, num_frames)[:, None, None] * ways


def _eighths(num_frames: int) -> np.ndarray:
    """Returns which eighth of the clip each frame is in, int [F]."""
    return np.arange(num_frames) * 8 // num_frames


def _show_all(rng: np.random.Generator, num_frames: int, kinds: np.ndarray) -> Display:
    tracks = _draw_tracks(rng, num_frames, len(kinds))
    return Display(kinds, tracks, np.ones(tracks.shape[:2], bool))


def alike(rng: np.random.Generator, num_frames: int, first: bool) -> Display:
    """Shows four shapes of which two are of one kind, or which all differ."""
    a, b, c, d = _draw_kinds(rng, 4)
    return _show_all(rng, num_frames, np.array([a, a if first else b, c, d]))


def count(rng: np.random.Generator, num_frames: int, first: bool) -> Display:
    """Shows five shapes of three kinds: three are alike, or two and two are."""
    a, b, c = _draw_kinds(rng, 3)
    return _show_all(rng, num_frames, np.array([a, a, a if first else b, b, c]))


def seen_before(rng: np.random.Generator, num_frames: int, first: bool) -> Display:
    """Shows three shapes, then none, then one elsewhere: of a kind among the three, or another."""
    a, b, c, d = _draw_kinds(rng, 4)
    display = _show_all(rng, num_frames, np.array([a, b, c, a if first else d]))
    eighth = _eighths(num_frames)
    display.visible[:, :3] = (eighth < 3)[:, None]
    display.visible[:, 3] = eighth >= 5
    return display


def comes_back(rng: np.random.Generator, num_frames: int, first: bool) -> Display:
    """Hides two of four shapes and shows one of them again, elsewhere.

    At the start, one of these two has a ring around it. It is that one which comes back, or the
    other.
    """
    a, b, c, d = _draw_kinds(rng, 4)
    display = _show_all(rng, num_frames, np.array([a, b, c, d, a if first else b]))
    eighth = _eighths(num_frames)
    display.visible[:, :2] = (eighth < 3)[:, None]
    display.visible[:, 4] = eighth >= 5
    display.marked, display.mark_visible = 0, eighth < 2
    return display
