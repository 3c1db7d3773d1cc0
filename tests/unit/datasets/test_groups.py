"""Recordings are guessed from names such as `kitchen3_take2.mp4`, and nothing else is."""

from __future__ import annotations

import pytest

from tfrecords_tools.datasets.dataset import Action, Video
from tfrecords_tools.datasets.groups import guess_recordings
from tfrecords_tools.datasets.split_warnings import warn_of_groups, warn_of_untested_classes


@pytest.mark.parametrize(
    ("names", "recordings"),
    [
        (["cut/kitchen3_take1.mp4", "cut/kitchen3_take2.mp4"], ["kitchen3"]),
        (["cut/kitchen3-Take 1.mp4", "wash/kitchen3-Take 12.mp4"], ["kitchen3"]),
        (["a/yard_part1.mp4", "a/yard_part2.mp4", "a/gate_part1.mp4"], ["yard"]),
        (["a/v_Run_g01_c01.avi", "a/v_Run_g01_c02.avi", "a/v_Run_g02_c01.avi"], []),
        (
            [f"a/v_Run_g0{group}_c0{clip}.avi" for group in (1, 2) for clip in (1, 2)],
            ["a/v_Run_g01", "a/v_Run_g02"],
        ),
        ([f"a/{who}_{n}.mp4" for who in ("ann", "bob") for n in (1, 2, 3)], ["a/ann", "a/bob"]),
        ([f"a/{who} ({n}).mp4" for who in ("ann", "bob") for n in (1, 2)], ["a/ann", "a/bob"]),
        (
            [
                f"{s}/a/{who}_{n}.mp4"
                for s, n in (("train", 1), ("test", 2))
                for who in ("ann", "bob")
            ],
            ["a/ann", "a/bob"],
        ),
        # Numbers that count the videos of a class.
        ([f"walk/walk_{n:03d}.mp4" for n in range(99)], []),
        ([f"walk/clip{n}.mp4" for n in range(9)], []),
        ([f"walk/{n}.mp4" for n in range(9)], []),
        (["a/take1.mp4", "a/take2.mp4"], []),
        # Dates and times, and words that end like one for a part.
        ([f"a/2021-{month:02d}-{day:02d}.mp4" for month in (5, 6) for day in (1, 2)], []),
        ([f"a/VID_2021050{day}_10111{n}.mp4" for day in (1, 2) for n in (1, 2)], []),
        (["a/mistake1.mp4", "a/mistake2.mp4", "a/script1.mp4", "a/script2.mp4"], []),
    ],
)
def test_guesses(names, recordings):
    assert list(guess_recordings(names)) == recordings


def videos(*names_and_subsets, group=None, label=0):
    return [
        Video(name, "", (Action(label),), subset, group or name)
        for name, subset in names_and_subsets
    ]


def test_names_warn_only_on_both_sides():
    one_side = videos(("a/x_take1.mp4", "train"), ("a/x_take2.mp4", "train"))
    assert warn_of_groups(one_side) == []
    (line,) = warn_of_groups([*one_side, *videos(("b/x_take3.mp4", "test"))])
    assert line == (
        "clips of one recording in several subsets: a/x_take1.mp4 (train) and b/x_take3.mp4 (test)"
        ", to judge by their names; --group_by or a column group keeps a recording whole"
    )


def test_groups_replace_the_guess():
    names = ("a/x_take1.mp4", "train"), ("a/x_take2.mp4", "test")
    own = [
        *videos(names[0], group="morning"),
        *videos(names[1], group="evening"),
    ]
    assert warn_of_groups(own) == []
    (line,) = warn_of_groups(videos(*names, group="kitchen"))
    assert line == (
        "clips of one recording in several subsets: a/x_take1.mp4 (train) and a/x_take2.mp4 (test)"
    )


def test_classes_without_a_test_video():
    classes = [*"abcdef"]
    some = videos(("1", "train"), ("2", "test"), label=5)
    assert warn_of_untested_classes(classes, some) == [
        "classes without a test video: 5 of 6 (a, b, c, ...)"
    ]
    assert warn_of_untested_classes(classes, some[:1]) == []
