"""Draws the clips of the matching data set, whose classes differ in which shapes are alike.

Shapes of many kinds, form and color, stand in front of a moving texture, among distractors. Two
shapes of one kind are alike, whatever their size, rotation and shade. The kinds are drawn for each
clip, and each is equally likely in both classes of a pair: no detector of certain kinds can tell
the classes apart, only a comparison can. Everything else is as in `relations`, whose backgrounds
these clips share, so that the classes of both data sets can be mixed.
"""

from __future__ import annotations

import numpy as np

from tfrecords_tools.synthetic import matching_displays
from tfrecords_tools.synthetic.drawing import Look, paint, to_pixels
from tfrecords_tools.synthetic.matching_displays import RADIUS
from tfrecords_tools.synthetic.pairs import Pair
from tfrecords_tools.synthetic.relations import (
    CAMERA,
    draw_group_background,
    jitter,
    paint_distractors,
)

# Kind `k` has form `k % 3` and color `k // 3`: ranges of red, green and blue. They differ from the
# distractors' colors, black and purple, and the ring is white.
FORMS = ("disc", "ring", "cross")
COLORS = {
    "red": ((215, 25, 25), (250, 55, 55)),
    "orange": ((245, 130, 0), (255, 155, 30)),
    "yellow": ((235, 220, 30), (255, 240, 70)),
    "green": ((20, 140, 20), (60, 185, 60)),
    "cyan": ((40, 200, 205), (80, 235, 240)),
    "blue": ((30, 40, 190), (60, 80, 255)),
}
_RING = 0.55
_MARK = Look("disc", 0.135, 0.0, np.full(3, 250.0), hole=0.105)


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

    Takes the arguments of `relations.draw_scene`.

    Returns:
        RGB frames, uint8, [F, S, S, 3].
    """
    number = CLASSES.index(class_name)
    rng = np.random.default_rng((seed, group, clip, number, len(CLASSES)))
    display = PAIRS[number // 2].draw_content(rng, num_frames, number % 2 == 0)
    picture = draw_group_background(group, num_frames, size, seed, camera)
    paint_distractors(picture, rng, distractors)
    for shape, kind in enumerate(display.kinds):
        track = jitter(rng, display.tracks[:, shape])
        paint(picture, track, draw_look(rng, kind), display.visible[:, shape])
        if shape == display.marked:
            paint(picture, track, _MARK, display.mark_visible)
    return to_pixels(picture)


def draw_look(rng: np.random.Generator, kind: int) -> Look:
    """Draws the size, rotation and shade of a shape of a kind, 0..`NUM_KINDS` - 1."""
    color, form = divmod(int(kind), len(FORMS))
    radius, turn = rng.uniform(*RADIUS), rng.uniform(0, 2 * np.pi)
    look = Look(FORMS[form], radius, turn, rng.uniform(*list(COLORS.values())[color]))
    return look._replace(kind="disc", hole=_RING * radius) if FORMS[form] == "ring" else look


PAIRS = (
    Pair("matching", ("TwoAlike", "AllDiffer"), True, matching_displays.alike),
    Pair("matching", ("ThreeAlike", "TwoPairs"), True, matching_displays.count),
    Pair("matching", ("LastWasShown", "LastIsNew"), False, matching_displays.seen_before),
    Pair("matching", ("MarkedComesBack", "OtherComesBack"), False, matching_displays.comes_back),
)
CLASSES = tuple(name for pair in PAIRS for name in pair.classes)
