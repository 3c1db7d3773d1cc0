"""Draws the clips of the relational data set, whose classes differ in known ways.

A red, a blue and a green shape move among distractors, in front of a moving texture. Classes come
in pairs, and pairs in groups by what distinguishes the two classes:

    appearance     a single frame
    motion         the order of the frames
    space          positions or motions of shapes relative to each other
    time           a shape's motion relative to an earlier motion of another
    ends           the first eighth of the clip together with the last

Apart from that, the classes of a pair have the same distribution. Where `one_frame` is False, a
single frame is equally likely in both: they differ by time reversal, by mirroring, by exchanged
colors, or only by how two frames relate.
"""

from __future__ import annotations

import numpy as np

from tfrecords_tools.synthetic import relation_motions
from tfrecords_tools.synthetic.drawing import KINDS, Look, draw_background, paint, to_pixels
from tfrecords_tools.synthetic.pairs import Pair
from tfrecords_tools.synthetic.relation_motions import RADIUS, RED

JITTER = 0.004
CAMERA = 0.3

# Ranges of red, green and blue: of the three players, of distractors and of the mark.
_PLAYERS = (
    ((185, 20, 20), (255, 60, 60)),
    ((20, 40, 185), (60, 80, 255)),
    ((20, 130, 20), (60, 190, 60)),
)
_DISTRACTING = (((0, 0, 0), (50, 50, 50)), ((150, 70, 150), (200, 100, 200)))
_MARK = ((235, 215, 0), (255, 255, 60))


def draw_scene(
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

    Takes the arguments of `shapes.draw_scene`, but at least 8 frames, and `distractors`, the number
    of other shapes in the way.

    Returns:
        RGB frames, uint8, [F, S, S, 3].
    """
    number = CLASSES.index(class_name)
    rng = np.random.default_rng((seed, group, clip, number, len(CLASSES)))
    pair = PAIRS[number // 2]
    motion = pair.draw_content(rng, num_frames, number % 2 == 0)
    picture = draw_group_background(group, num_frames, size, seed, camera)
    paint_distractors(picture, rng, distractors)
    # The shape drawn last covers the others where they overlap.
    for shape in rng.permutation(3):
        look = _draw_look(rng, *_PLAYERS[shape])
        if shape == RED and motion.hollow:
            look = look._replace(hole=0.6 * look.radius)
        paint(picture, jitter(rng, motion.tracks[:, shape]), look)
    if motion.mark is not None:
        look = _draw_look(rng, *_MARK)._replace(kind="disc", radius=0.12, hole=0.09)
        paint(picture, jitter(rng, motion.mark), look, motion.mark_visible)
    return to_pixels(picture)


def draw_group_background(
    group: int, num_frames: int, size: int, seed: int, camera: float
) -> np.ndarray:
    """Draws the background that all clips of a group share; for the arguments see `draw_scene`.

    Returns:
        float32 [F, S, S, 3], 0..255.
    """
    rng = np.random.default_rng((seed, group, len(CLASSES)))
    return draw_background(rng, num_frames, size, camera)


def paint_distractors(picture: np.ndarray, rng: np.random.Generator, number: int) -> None:
    """Paints black and purple shapes that cross a part of the picture.

    Args:
        picture: float32 [F, S, S, 3], changed in place.
        rng: draws their looks and tracks.
        number: how many.
    """
    for _ in range(number):
        low, high = _DISTRACTING[rng.integers(len(_DISTRACTING))]
        track = jitter(rng, relation_motions.draw_wanderer(rng, len(picture)))
        paint(picture, track, _draw_look(rng, low, high))


def _draw_look(rng: np.random.Generator, low: tuple, high: tuple) -> Look:
    kind = str(rng.choice(list(KINDS)))
    return Look(kind, rng.uniform(*RADIUS), rng.uniform(0, 2 * np.pi), rng.uniform(low, high))


def jitter(rng: np.random.Generator, track: np.ndarray) -> np.ndarray:
    """Returns the positions of a track [F, 2] with noise, float32."""
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
