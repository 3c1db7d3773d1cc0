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

from tfrecords_tools.synthetic import relation_motions
from tfrecords_tools.synthetic.drawing import KINDS, Look, background, paint, to_pixels
from tfrecords_tools.synthetic.relation_motions import RADIUS, RED, Play

JITTER = 0.004
CAMERA = 0.3

# Lowest and highest of red, green and blue: of the three, of what is in the way, and of the mark.
_PLAYERS = (
    ((185, 20, 20), (255, 60, 60)),
    ((20, 40, 185), (60, 80, 255)),
    ((20, 130, 20), (60, 190, 60)),
)
_DISTRACTING = (((0, 0, 0), (50, 50, 50)), ((150, 70, 150), (200, 100, 200)))
_MARK = ((235, 215, 0), (255, 255, 60))


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
        paint(
            picture, _jittered(rng, relation_motions.wander(rng, num_frames)), _look(rng, low, high)
        )
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


PAIRS = (
    Pair("appearance", ("RedSolid", "RedHollow"), True, relation_motions.solid_or_hollow),
    Pair("motion", ("Approach", "Recede"), False, relation_motions.approach_or_recede),
    Pair("motion", ("OrbitClockwise", "OrbitCounterclockwise"), False, relation_motions.orbit),
    Pair("space", ("RedNearBlue", "RedNearGreen"), True, relation_motions.near),
    Pair("space", ("RedBetween", "BlueBetween"), True, relation_motions.between),
    Pair("space", ("SameDirection", "OppositeDirections"), False, relation_motions.directions),
    Pair("time", ("RedFirst", "BlueFirst"), False, relation_motions.who_first),
    Pair("time", ("BlueRepeats", "BlueReverses"), False, relation_motions.repeats),
    Pair("ends", ("MarkRedThenBlue", "MarkBlueThenRed"), False, relation_motions.marked_in_turn),
    Pair("ends", ("MarkReturns", "MarkElsewhere"), False, relation_motions.returns),
)
CLASSES = tuple(name for pair in PAIRS for name in pair.classes)
