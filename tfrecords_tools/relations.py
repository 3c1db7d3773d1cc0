"""Draws the clips of the relational data set: of its classes we know what tells them apart.

A red, a blue and a green shape play, others are in the way, a texture moves behind them. Classes
come in pairs, and pairs in groups:

    appearance     one frame suffices
    motion         the order of the frames
    space          how shapes stand or move to each other
    time           what one shape does to what another one did before
    ends           what is seen in the first eighth of the clip and in the last

The classes of a pair are drawn from the same distribution but for that one thing. Where `one_frame`
is False, any single frame of the one class is as likely in the other: by turning time round, by a
mirror, by exchanging colours, or because what differs is how two frames go together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfrecords_tools.drawing import KINDS, Look, along, background, paint, to_pixels

# As in `tfrecords_tools.scenes`; smaller, for there are more of them.
RADIUS = (0.06, 0.085)
EDGE = 0.5 - RADIUS[1]
JITTER = 0.004
CAMERA = 0.3

RED, BLUE, GREEN = range(3)
# Lowest and highest of red, green and blue: of the three, of what is in the way, and of the mark.
_PLAYERS = (
    ((185, 20, 20), (255, 60, 60)),
    ((20, 40, 185), (60, 80, 255)),
    ((20, 130, 20), (60, 190, 60)),
)
_DISTRACTING = (((0, 0, 0), (50, 50, 50)), ((150, 70, 150), (200, 100, 200)))
_MARK = ((235, 215, 0), (255, 255, 60))


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


@dataclass(frozen=True)
class Pair:
    """Two classes, and what one must see to tell them apart.

    Attributes:
        group: see the module.
        classes: their names.
        one_frame: whether a single frame can tell.
        play: draws what happens in a clip of F frames; its last argument is whether the clip is of
            the first class.
    """

    group: str
    classes: tuple[str, str]
    one_frame: bool
    play: Callable[[np.random.Generator, int, bool], Play]


def scene(
    class_name: str,
    group: int,
    clip: int,
    num_frames: int,
    size: int,
    seed: int,
    camera: float = CAMERA,
    distractors: int = 2,
) -> np.ndarray:
    """Draws one clip; the same arguments always give the same pixels.

    Args:
        class_name: one of `CLASSES`.
        group: number of the clip's group: clips of one share the background, in every class.
        clip: number of the clip within its group.
        num_frames: F, 8 or more.
        size: height and width S in pixels.
        seed: of the whole data set.
        camera: farthest that the background drifts in a clip, picture sides.
        distractors: shapes that are in the way.

    Returns:
        RGB frames, uint8, [F, S, S, 3].
    """
    number = CLASSES.index(class_name)
    rng = np.random.default_rng((seed, group, clip, number, len(CLASSES)))
    pair = PAIRS[number // 2]
    play = pair.play(rng, num_frames, number % 2 == 0)
    picture = background(
        np.random.default_rng((seed, group, len(CLASSES))), num_frames, size, camera
    )
    for _ in range(distractors):
        low, high = _DISTRACTING[rng.integers(len(_DISTRACTING))]
        paint(picture, _jittered(rng, _wander(rng, num_frames)), _look(rng, low, high))
    # The one drawn last covers the others where they meet.
    for shape in rng.permutation(3):
        look = _look(rng, *_PLAYERS[shape])
        if shape == RED and play.hollow:
            look = look._replace(hole=0.6 * look.radius)
        paint(picture, _jittered(rng, play.tracks[:, shape]), look)
    if play.mark is not None:
        look = _look(rng, *_MARK)._replace(kind="disc", radius=0.12, hole=0.09)
        paint(picture, _jittered(rng, play.mark), look, play.marked)
    return to_pixels(picture)


def _look(rng: np.random.Generator, low: tuple, high: tuple) -> Look:
    kind = str(rng.choice(list(KINDS)))
    return Look(kind, rng.uniform(*RADIUS), rng.uniform(0, 2 * np.pi), rng.uniform(low, high))


def _jittered(rng: np.random.Generator, track: np.ndarray) -> np.ndarray:
    return (track + rng.normal(0, JITTER, track.shape)).astype(np.float32)


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


def _wander(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """A shape that crosses a part of the picture, [F, 2]."""
    way = rng.uniform(0.05, 0.35) * along(rng.uniform(0, 2 * np.pi))
    track = (_progress(rng, num_frames) - 0.5)[:, None] * way
    return _placed(rng, track[:, None])[:, 0]


def _with_wanderers(rng: np.random.Generator, tracks: np.ndarray) -> np.ndarray:
    """Adds shapes that wander to those of a play, up to three."""
    others = [_wander(rng, len(tracks)) for _ in range(3 - tracks.shape[1])]
    return np.concatenate([tracks, *(other[:, None] for other in others)], axis=1)


def _exchanged(tracks: np.ndarray, first: bool, one: int, other: int) -> np.ndarray:
    """`tracks`, or in the pair's second class the same with two shapes' parts exchanged."""
    order = [RED, BLUE, GREEN]
    if not first:
        order[one], order[other] = other, one
    return tracks[:, order]


def _solid_or_hollow(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    nobody = np.empty((num_frames, 0, 2))
    return Play(_with_wanderers(rng, nobody), hollow=not first)


def _approach_or_recede(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    nearest, farthest = rng.uniform(0.16, 0.24), rng.uniform(0.36, 0.5)
    distance = farthest + (nearest - farthest) * _progress(rng, num_frames)
    between = distance[:, None] * along(rng.uniform(0, 2 * np.pi))
    two = _placed(rng, np.stack([between / 2, -between / 2], axis=1))
    # Time turned round.
    return Play(_with_wanderers(rng, two if first else two[::-1]))


def _orbit(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    turned = rng.uniform(0.5 * np.pi, 0.9 * np.pi) * _progress(rng, num_frames)
    angle = rng.uniform(0, 2 * np.pi) + (turned if first else -turned)
    between = rng.uniform(0.28, 0.44) * along(angle)
    return Play(_with_wanderers(rng, _placed(rng, np.stack([between / 2, -between / 2], axis=1))))


def _near(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red shape is near the blue one and far from the green one, or the other way round."""
    angle = rng.uniform(0, 2 * np.pi)
    near = rng.uniform(0.16, 0.24) * along(angle)
    far = rng.uniform(0.36, 0.5) * along(angle + rng.uniform(0.5 * np.pi, 1.5 * np.pi))
    way = rng.uniform(0, 0.15) * along(rng.uniform(0, 2 * np.pi))
    places = _centred(np.stack([np.zeros(2), near, far])[None])
    moved = places + (_progress(rng, num_frames) - 0.5)[:, None, None] * way
    return Play(_exchanged(_placed(rng, moved), first, BLUE, GREEN))


def _between(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """The red or the blue shape is between the other one and the green one."""
    angle = rng.uniform(0, 2 * np.pi)
    end = rng.uniform(0.36, 0.56) * along(angle)
    middle = rng.uniform(0.4, 0.6) * end + rng.uniform(-0.05, 0.05) * along(angle + np.pi / 2)
    way = rng.uniform(0, 0.15) * along(rng.uniform(0, 2 * np.pi))
    places = _centred(np.stack([middle, np.zeros(2), end])[None])
    moved = places + (_progress(rng, num_frames) - 0.5)[:, None, None] * way
    return Play(_exchanged(_placed(rng, moved), first, RED, BLUE))


def _directions(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
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


def _who_first(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
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


def _repeats(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
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


def _marked_in_turn(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
    """A ring is round the red shape at first and round the blue one at last, or the other way."""
    tracks = _with_wanderers(rng, np.empty((num_frames, 0, 2)))
    begin, end = _ends(num_frames)
    of_begin, of_end = (RED, BLUE) if first else (BLUE, RED)
    mark = np.where(begin[:, None], tracks[:, of_begin], tracks[:, of_end])
    return Play(tracks, mark=mark, marked=begin | end)


def _returns(rng: np.random.Generator, num_frames: int, first: bool) -> Play:
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


PAIRS = (
    Pair("appearance", ("RedSolid", "RedHollow"), True, _solid_or_hollow),
    Pair("motion", ("Approach", "Recede"), False, _approach_or_recede),
    Pair("motion", ("OrbitClockwise", "OrbitCounterclockwise"), False, _orbit),
    Pair("space", ("RedNearBlue", "RedNearGreen"), True, _near),
    Pair("space", ("RedBetween", "BlueBetween"), True, _between),
    Pair("space", ("SameDirection", "OppositeDirections"), False, _directions),
    Pair("time", ("RedFirst", "BlueFirst"), False, _who_first),
    Pair("time", ("BlueRepeats", "BlueReverses"), False, _repeats),
    Pair("ends", ("MarkRedThenBlue", "MarkBlueThenRed"), False, _marked_in_turn),
    Pair("ends", ("MarkReturns", "MarkElsewhere"), False, _returns),
)
CLASSES = tuple(name for pair in PAIRS for name in pair.classes)
