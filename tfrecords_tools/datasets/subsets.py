"""Holds out a share of the videos, by a hash of their groups."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tfrecords_tools.datasets.balance import select_balanced
from tfrecords_tools.datasets.dataset import Dataset, Video


def add_validation(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Moves a share of the training videos to the subset `val`, in whole groups.

    Args:
        dataset: with a subset `train`.
        share: 0..1 of each class, or of all videos if multi-label; rounded to whole groups.
        seed: selects other groups.
    """
    training = [video for video in dataset.videos if video.subset == "train"]
    # The groups of published data sets are taken in order, as earlier versions did.
    balance = dataset.name == "folder" and any(video.group != video.id for video in training)
    held_out = hold_out(training, share, f"val {seed}", not dataset.multi_label, balance)
    videos = (
        replace(video, subset="val") if video.id in held_out else video for video in dataset.videos
    )
    return replace(dataset, videos=tuple(videos))


def pin_subsets(
    dataset: Dataset, by_id: Mapping[str, str], by_group: Mapping[str, str], val_share: float
) -> Dataset:
    """Gives videos, and new ones of their groups, the subsets that they had before.

    A subset that the list of videos states itself is not changed.

    Args:
        dataset: the videos, with the subsets of a first build.
        by_id, by_group: subsets of before, by id and by group of the video.
        val_share: share of the training videos that was held out.
    """

    def pin(video: Video) -> Video:
        before = by_id.get(video.id) or by_group.get(video.group) or video.subset
        chosen = dataset.test_is_chosen or (val_share and "test" not in (before, video.subset))
        return replace(video, subset=before) if chosen else video

    return replace(dataset, videos=tuple(map(pin, dataset.videos)))


def hold_out(
    videos: Iterable[Video], share: float, salt: str, by_class: bool = True, balance: bool = False
) -> set[str]:
    """Selects about `share` of each class, or of all videos, in whole groups.

    Orders groups by a hash of their names, so that the order of the videos does not change the
    selection. Of two groups or more in a class, at least one is selected and at least one is left,
    unless groups span classes and that is impossible.

    Args:
        videos: candidates.
        share: 0..1.
        salt: text hashed with the names of the groups.
        by_class: applies `share` to each class, not to all videos.
        balance: searches for groups that come closest to the share. Otherwise takes them in order,
            so that one more video does not change the selection of the others, unless groups span
            classes.

    Returns:
        Ids of the selected videos.
    """
    if not share:
        return set()
    ids: defaultdict[str, list[str]] = defaultdict(list)
    # Group -> class (or 0) -> number of videos.
    groups: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for video in videos:
        ids[video.group].append(video.id)
        groups[video.group].update({action.label for action in video.actions} if by_class else {0})
    order = sorted(groups, key=lambda name: hashlib.sha256(f"{salt}\0{name}".encode()).digest())
    ordered = {name: groups[name] for name in order}
    if balance or any(len(counts) > 1 for counts in groups.values()):
        selected = select_balanced(ordered, share)
    else:
        selected = _select_in_order(ordered, share)
    return {video for name in selected for video in ids[name]}


def _select_in_order(groups: Mapping[str, Counter[int]], share: float) -> set[str]:
    """Selects groups that have videos of one class each, in order, until the share is reached."""
    classes: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for name, counts in groups.items():
        for label, count in counts.items():
            classes[label][name] = count
    selected: set[str] = set()
    for sizes in classes.values():
        wanted = share * sum(sizes.values())
        taken = 0
        for name in [*sizes][:-1]:
            # Take another group only if that comes closer to the share.
            if taken and taken + sizes[name] / 2 > wanted:
                break
            selected.add(name)
            taken += sizes[name]
    return selected
