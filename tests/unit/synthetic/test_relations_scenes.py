"""Tests what distinguishes the classes of the relational data set."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from rlstm_tf.cli import app
from tfrecords_tools import demo
from tfrecords_tools.synthetic.relation_motions import BLUE, GREEN, RED
from tfrecords_tools.synthetic.relations import CLASSES, PAIRS, draw_scene

FRAMES = 16
# Mean brightness of a clip of each class.
MEANS = (
    *(118.42, 119.03, 120.51, 119.25, 119.14, 119.96, 120.91, 121.26, 119.8, 120.21),
    *(117.48, 121.26, 119.77, 118.12, 116.55, 118.17, 117.92, 120.93, 120.1, 121.19),
)
names = pytest.mark.parametrize("pair", PAIRS, ids=[" or ".join(pair.classes) for pair in PAIRS])


def draw_motions(pair, count):
    """Draws motions of both classes in turn; returns them and a mask of the first class."""
    rng = np.random.default_rng(1)
    first = np.arange(count) % 2 == 0
    return [pair.draw_content(rng, FRAMES, bool(one)) for one in first], first


def observe(motion, frame):
    """Returns all features of one frame, as a perfect observer sees them."""
    track = motion.tracks[frame]
    apart = [np.linalg.norm(track[a] - track[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    mark = np.zeros(2) if motion.mark is None else motion.mark[frame] * motion.mark_visible[frame]
    to_mark = np.linalg.norm(track - mark, axis=-1)
    return np.concatenate([track.ravel(), apart, mark, to_mark, [motion.hollow]])


@names
def test_one_frame_reveals_the_class_only_if_one_frame_is_true(pair):
    clips, first = draw_motions(pair, 3000)
    frames = np.random.default_rng(2).integers(FRAMES, size=len(clips))
    inputs = np.stack([observe(motion, frame) for motion, frame in zip(clips, frames)])
    trees = ExtraTreesClassifier(100, min_samples_leaf=5, random_state=0, n_jobs=2)
    trees.fit(inputs[:2000], first[:2000])
    share = trees.score(inputs[2000:], first[2000:])
    if pair.one_frame:
        assert share > 0.95
    else:
        # Chance is 0.5, with a standard deviation of 0.016.
        assert 0.44 < share < 0.56


def distance(motion, one, other):
    return np.linalg.norm(motion.tracks[:, one] - motion.tracks[:, other], axis=-1)


def way(motion, shape):
    return motion.tracks[-1, shape] - motion.tracks[0, shape]


def cross(u, v):
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def moved_at(motion, shape):
    """Mean time of a shape's motion, in frames."""
    steps = np.linalg.norm(np.diff(motion.tracks[:, shape], axis=0), axis=-1)
    return np.average(np.arange(len(steps)), weights=steps)


def between(motion, one, other):
    """Returns True if `one` is between `other` and the green shape."""
    return distance(motion, one, GREEN).mean() < distance(motion, other, GREEN).mean()


def find_marked(motion, frame):
    """Returns the shape inside the mark."""
    return np.linalg.norm(motion.tracks[frame] - motion.mark[frame], axis=-1).argmin()


# First class of each pair -> its defining property.
RULES = {
    "RedSolid": lambda motion: not motion.hollow,
    "Approach": lambda motion: distance(motion, RED, BLUE)[0] > distance(motion, RED, BLUE)[-1],
    "OrbitClockwise": lambda motion: (
        cross(
            motion.tracks[:-1, RED] - motion.tracks[:-1, BLUE],
            motion.tracks[1:, RED] - motion.tracks[1:, BLUE],
        ).sum()
        > 0
    ),
    "RedNearBlue": lambda motion: distance(motion, RED, BLUE)[0] < distance(motion, RED, GREEN)[0],
    "RedBetween": lambda motion: between(motion, RED, BLUE),
    "SameDirection": lambda motion: way(motion, RED) @ way(motion, BLUE) > 0,
    "RedFirst": lambda motion: moved_at(motion, RED) < moved_at(motion, BLUE),
    "BlueRepeats": lambda motion: way(motion, RED) @ way(motion, BLUE) > 0,
    "MarkRedThenBlue": lambda motion: find_marked(motion, 0) == RED,
    "MarkReturns": lambda motion: np.allclose(motion.mark[0], motion.mark[-1]),
}


@names
def test_all_frames_reveal_the_class(pair):
    clips, first = draw_motions(pair, 400)
    found = [bool(RULES[pair.classes[0]](motion)) for motion in clips]
    assert np.mean(found == first) > 0.99


def test_marks_are_visible_only_in_the_first_and_the_last_eighth():
    for pair in PAIRS:
        (motion, *_), _ = draw_motions(pair, 2)
        if pair.group == "ends":
            assert np.flatnonzero(motion.mark_visible).tolist() == [0, 1, 14, 15]
        else:
            assert motion.mark is None


def test_one_moves_after_the_other():
    for pair in PAIRS:
        if pair.group == "time":
            for motion in draw_motions(pair, 20)[0]:
                steps = np.linalg.norm(np.diff(motion.tracks, axis=0), axis=-1) > 1e-9
                assert (steps[:, :2].sum(axis=1) == 2).sum() <= 1
                assert not steps[:, GREEN].any()


@names
def test_shapes_stay_in_the_picture(pair):
    for motion in draw_motions(pair, 200)[0]:
        assert np.abs(motion.tracks).max() < 0.5


def test_groups():
    assert len(set(CLASSES)) == 20
    groups = list(dict.fromkeys(pair.group for pair in PAIRS))
    assert groups == ["appearance", "motion", "space", "time", "ends"]


def test_the_same_arguments_give_the_same_pixels():
    arguments = ("RedFirst", 3, 2, 8, 32)
    clip = draw_scene(*arguments, seed=0)
    assert clip.shape == (8, 32, 32, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(draw_scene(*arguments, seed=0), clip)
    assert (draw_scene(*arguments, seed=1) != clip).any()
    assert (draw_scene(*arguments, seed=0, distractors=0) != clip).any()


def test_old_clips_stay_as_they_are():
    """Published results and data sets depend on them; not on the last bit of a mean."""
    means = [draw_scene(name, 1, 2, 8, 32, seed=0).mean() for name in CLASSES]
    np.testing.assert_allclose(means, MEANS, rtol=0, atol=0.02)


def test_background_does_not_reveal_the_class():
    """Clips of a group share it; the corner of a picture is mostly background."""
    one, other = (draw_scene(name, 7, 1, 8, 64, seed=0, distractors=0) for name in CLASSES[:2])
    assert np.mean(np.all(one == other, axis=-1)) > 0.8


def make(output, *arguments):
    settings = ("--videos_per_class=5", "--size=32", "--workers=1", f"--output={output}")
    return app.run(demo.main, demo.define_flags, ["demo", *settings, *arguments])


def test_demo_writes_them(tmp_path):
    assert make(tmp_path / "made", "--scenes=relations", "--num_frames=8") == 0
    names = (tmp_path / "made/ucfTrainTestlist/classInd.txt").read_text().split()[1::2]
    assert tuple(names) == CLASSES
    assert len(list((tmp_path / "made/videos").rglob("*.avi"))) == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--distractors=1"], "--distractors=1 goes with --scenes=relations or matching"),
        (
            ["--scenes=relations", "--num_frames=7"],
            "--num_frames=7: --scenes=relations needs at least 8",
        ),
    ],
)
def test_refused(tmp_path, capsys, arguments, message):
    assert make(tmp_path / "made", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
