"""Held-out shares in whole groups, which may span classes."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest

from tfrecords_tools.datasets.balance import select_balanced
from tfrecords_tools.datasets.dataset import Action, Dataset, Video
from tfrecords_tools.datasets.subsets import add_validation, hold_out


def make_videos(groups):
    """Makes a video in subset `train` for each label of each group."""
    return [
        Video(f"{group}_{number}", "", (Action(label),), "train", group)
        for group, labels in groups.items()
        for number, label in enumerate(labels)
    ]


def shares(videos, held):
    totals, taken = Counter(), Counter()
    for video in videos:
        totals[video.actions[0].label] += 1
        taken[video.actions[0].label] += video.id in held
    return {label: taken[label] / totals[label] for label in totals}


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_span_classes_stay_whole(seed):
    draw = random.Random(seed)
    groups = {f"g{n}": draw.choices(range(4), k=draw.randrange(1, 9)) for n in range(60)}
    videos = make_videos(groups)
    held = hold_out(videos, 0.2, "test")
    sides = {video.group: video.id in held for video in videos}
    assert all(sides[video.group] == (video.id in held) for video in videos)
    assert all(0.17 < share < 0.23 for share in shares(videos, held).values())
    draw.shuffle(videos)
    assert hold_out(videos, 0.2, "test") == held
    assert hold_out(videos, 0.2, "other") != held


@pytest.mark.parametrize("sizes", [(80, 20), (20, 80), (60, 40), (3, 50, 7, 11, 29)])
def test_the_closest_share_of_one_class(sizes):
    """Not the first group, of any size."""
    groups = {f"g{number}": Counter({0: size}) for number, size in enumerate(sizes)}
    best = min(
        abs(sum(some) / sum(sizes) - 0.2)
        for count in range(1, len(sizes))
        for some in combinations(sizes, count)
    )
    selected = select_balanced(groups, 0.2)
    found = sum(groups[name][0] for name in selected) / sum(sizes)
    assert abs(found - 0.2) == pytest.approx(best)


def test_each_class_has_both_sides_where_its_groups_allow():
    # Class 1 is only in g0, class 2 in g0 and g1.
    groups = {
        "g0": Counter({0: 1, 1: 9, 2: 9}),
        "g1": Counter({0: 1, 2: 1}),
        **{f"g{number}": Counter({0: 5}) for number in range(2, 20)},
    }
    selected = select_balanced(groups, 0.2)
    assert "g0" not in selected
    assert "g1" in selected


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99, 1.0])
def test_something_is_left_to_train_on(share):
    videos = make_videos({"a": [0, 1], "b": [0, 1, 1], "c": [0]})
    held = hold_out(videos, share, "test")
    assert all(0 < found < 1 for found in shares(videos, held).values())


def test_one_group_of_all_videos_is_not_split():
    assert hold_out(make_videos({"a": [0, 1, 1]}), 0.2, "test") == set()


def test_several_labels_count_in_each_class():
    videos = [
        Video(f"{n}", "", (Action(n % 3), Action(2, 1.0, 2.0)), "train", f"{n}") for n in range(30)
    ]
    held = hold_out(videos, 0.2, "test")
    assert Counter(int(name) % 3 for name in held) == {0: 2, 1: 2, 2: 2}


def test_validation_of_own_groups_comes_close_to_the_share():
    videos = make_videos({"a": [0] * 80, "b": [0] * 10, "c": [0] * 10})
    for seed in range(4):
        dataset = add_validation(Dataset("folder", 0, ("x",), tuple(videos)), 0.1, seed)
        assert sum(video.subset == "val" for video in dataset.videos) == 10
