"""Tests what distinguishes the classes of the matching data set."""

import functools
from collections import Counter

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from rlstm_tf.cli import app
from tfrecords_tools import demo
from tfrecords_tools.synthetic import relations
from tfrecords_tools.synthetic.drawing import draw_background, paint, to_pixels
from tfrecords_tools.synthetic.matching import CLASSES, COLORS, FORMS, PAIRS, draw_look, draw_scene
from tfrecords_tools.synthetic.matching_displays import NUM_KINDS
from tfrecords_tools.synthetic.scenes import SCENES

FRAMES, CLIPS, TRAIN = 16, 3000, 2000
names = pytest.mark.parametrize("pair", PAIRS, ids=[" or ".join(pair.classes) for pair in PAIRS])
visible = pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.one_frame])


@functools.cache
def draw_displays(pair):
    """Draws clips of both classes in turn.

    Returns:
        Displays, a frame of each, and a mask of the first class.
    """
    rng = np.random.default_rng(1)
    first = np.arange(CLIPS) % 2 == 0
    displays = [pair.draw_content(rng, FRAMES, bool(one)) for one in first]
    return displays, rng.integers(FRAMES, size=CLIPS), first


def score(pair, classifier, observe):
    """Returns the accuracy on new clips of a classifier that sees `observe(display, frame)`.

    Chance is 0.5, with a standard deviation of 0.016.
    """
    displays, frames, first = draw_displays(pair)
    inputs = np.stack([observe(display, frame) for display, frame in zip(displays, frames)])
    classifier.fit(inputs[:TRAIN], first[:TRAIN])
    return classifier.score(inputs[TRAIN:], first[TRAIN:])


def grow():
    return ExtraTreesClassifier(100, min_samples_leaf=5, random_state=0)


def describe(display, frame):
    """Returns place, form, color and mark of each shape, all of a frame but for comparisons."""
    shown = display.visible[frame]
    marked = np.zeros(len(shown))
    if display.mark_visible is not None and display.mark_visible[frame]:
        marked[display.marked] = 1
    places = display.tracks[frame] * shown[:, None]
    numbers = np.where(shown, [display.kinds % len(FORMS), display.kinds // len(FORMS)], -1)
    # From left to right, then those that are not there.
    order = np.lexsort([places[:, 0], ~shown])
    return np.concatenate([places[order].ravel(), numbers[:, order].ravel(), marked[order]])


def count(display, frame):
    return np.bincount(display.kinds[display.visible[frame]], minlength=NUM_KINDS)


def compare(display, frame):
    """Returns how many shapes are alike at most."""
    return [count(display, frame).max()]


@names
def test_one_frame_reveals_the_class_only_if_one_frame_is_true(pair):
    def observe(*scene):
        return np.concatenate([describe(*scene), count(*scene), compare(*scene)])

    share = score(pair, grow(), observe)
    if pair.one_frame:
        assert share > 0.95
    else:
        assert 0.44 < share < 0.56


@visible
def test_only_comparing_reveals_the_class(pair):
    assert score(pair, grow(), compare) > 0.99
    # Trees learn a few combinations of kinds by heart.
    assert score(pair, grow(), describe) < 0.7
    # Detectors of kinds, averaged over the frame, are of no use to a linear classifier. (To trees
    # they are: a count of two is a comparison.)
    assert 0.44 < score(pair, LogisticRegression(), count) < 0.56


@names
def test_each_kind_is_equally_likely_in_both_classes(pair):
    displays, _, first = draw_displays(pair)
    for frame in (0, FRAMES - 1):
        counts = np.stack([count(display, frame) for display in displays])
        of_first, of_second = counts[first].sum(axis=0), counts[~first].sum(axis=0)
        assert of_first.sum() == of_second.sum()
        # Four standard deviations of counts that come in threes at most.
        assert np.all(np.abs(of_first - of_second) < 4 * np.sqrt(3 * (of_first + of_second)))


def kinds_in(display, frame):
    return display.kinds[display.visible[frame]].tolist()


# First class of each pair -> its defining property.
RULES = {
    "TwoAlike": lambda display: max(Counter(kinds_in(display, 0)).values()) == 2,
    "ThreeAlike": lambda display: max(Counter(kinds_in(display, 0)).values()) == 3,
    "LastWasShown": lambda display: kinds_in(display, -1)[0] in kinds_in(display, 0),
    "MarkedComesBack": lambda display: display.kinds[display.marked] in kinds_in(display, -1),
}


@names
def test_all_frames_reveal_the_class(pair):
    displays, _, first = draw_displays(pair)
    found = [RULES[pair.classes[0]](display) for display in displays]
    assert np.mean(found == first) > 0.99


# Shapes visible in each eighth, and those with the ring around one.
SEEN = {
    "TwoAlike": ([4] * 8, 0),
    "ThreeAlike": ([5] * 8, 0),
    "LastWasShown": ([3, 3, 3, 0, 0, 1, 1, 1], 0),
    "MarkedComesBack": ([4, 4, 4, 2, 2, 3, 3, 3], 2),
}


@names
def test_what_is_visible_when(pair):
    numbers, num_marked = SEEN[pair.classes[0]]
    for display in draw_displays(pair)[0][:20]:
        assert display.visible.sum(axis=1).tolist() == np.repeat(numbers, 2).tolist()
        if num_marked:
            assert np.flatnonzero(display.mark_visible).tolist() == list(range(2 * num_marked))
        else:
            assert display.marked is None


@names
def test_what_comes_back_is_elsewhere(pair):
    """Also the shapes of one time never touch: even with a ring, they reach 0.135 and 0.1."""
    for display in draw_displays(pair)[0][:200]:
        assert np.abs(display.tracks).max() < 0.4
        for shape in range(len(display.kinds)):
            others = np.delete(display.tracks, shape, axis=1)
            gaps = np.linalg.norm(others - display.tracks[:, shape, None], axis=-1)
            assert gaps.min() > 0.235


def test_kinds_can_be_told_apart_in_pixels():
    """In a picture of 56 pixels; this is a cutout of 20."""
    assert len(FORMS) * len(COLORS) == NUM_KINDS
    rng = np.random.default_rng(0)
    kinds = np.arange(2160) % NUM_KINDS
    pictures = []
    for kind in kinds:
        picture = draw_background(rng, 1, 20, 0.0)
        look = draw_look(rng, kind)
        look = look._replace(radius=look.radius * 56 / 20, hole=look.hole * 56 / 20)
        paint(picture, rng.uniform(-0.03, 0.03, (1, 2)).astype(np.float32), look)
        pictures.append(to_pixels(picture)[0])
    inputs = np.stack(pictures).reshape(len(kinds), -1)
    trees = grow().fit(inputs[:1620], kinds[:1620])
    assert trees.score(inputs[1620:], kinds[1620:]) > 0.98


def test_the_same_arguments_give_the_same_pixels():
    arguments = ("MarkedComesBack", 3, 2, 8, 32)
    clip = draw_scene(*arguments, seed=0)
    assert clip.shape == (8, 32, 32, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(draw_scene(*arguments, seed=0), clip)
    assert (draw_scene(*arguments, seed=1) != clip).any()
    assert (draw_scene(*arguments, seed=0, distractors=0) != clip).any()


def test_background_is_that_of_the_relations():
    """In a mixture, it does not tell which classes are whose."""
    arguments = (7, 1, 8, 64)
    one, other, empty = (
        draw(name, *arguments, seed=0, distractors=0)
        for draw, name in (
            (draw_scene, "AllDiffer"),
            (relations.draw_scene, "RedFirst"),
            (draw_scene, "LastIsNew"),
        )
    )
    assert np.mean(np.all(one == other, axis=-1)) > 0.6
    np.testing.assert_array_equal(empty[3, :, :2], one[3, :, :2])


def test_a_mixture_has_the_same_clips():
    mixture = SCENES["relations,matching"]
    assert mixture.classes == relations.CLASSES + CLASSES
    assert len(set(mixture.classes)) == 28
    assert mixture.groups == ("appearance", "motion", "space", "time", "ends", "matching")
    assert SCENES["matching"].groups == ("matching",)
    for draw, name in ((relations.draw_scene, "RedFirst"), (draw_scene, "TwoPairs")):
        arguments = (name, 2, 1, 8, 32, 0)
        np.testing.assert_array_equal(mixture.draw_scene(*arguments), draw(*arguments))


def test_demo_writes_them(tmp_path):
    for scenes in ("matching", "relations,matching"):
        arguments = ["--videos_per_class=5", "--size=32", "--num_frames=8", "--workers=1"]
        arguments += [f"--scenes={scenes}", f"--output={tmp_path / scenes}"]
        assert app.run(demo.main, demo.define_flags, ["demo", *arguments]) == 0
        listed = (tmp_path / scenes / "ucfTrainTestlist/classInd.txt").read_text().split()[1::2]
        assert tuple(listed) == SCENES[scenes].classes
    clip = "videos/TwoPairs/v_TwoPairs_g01_c02.avi"
    alone, mixed = (tmp_path / scenes / clip for scenes in ("matching", "relations,matching"))
    assert alone.read_bytes() == mixed.read_bytes()


def test_the_flag_knows_all_scenes():
    assert tuple(SCENES) == demo.SCENE_NAMES
