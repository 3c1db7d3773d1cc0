"""Holds out a share of the videos, by a hash of their groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from tfrecords_tools.datasets.dataset import Dataset, Video


def add_validation(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Moves a share of the training videos to the subset `val`, in whole groups.

    Args:
        dataset: with a subset `train`.
        share: 0..1 of each class, or of all videos if multi-label; rounded to whole groups.
        seed: selects other groups.
    """
    training = [video for video in dataset.videos if video.subset == "train"]
    held_out = hold_out(training, share, f"val {seed}", by_class=not dataset.multi_label)
    videos = (
        replace(video, subset="val") if video.id in held_out else video for video in dataset.videos
    )
    return replace(dataset, videos=tuple(videos))


def hold_out(videos: Iterable[Video], share: float, salt: str, by_class: bool = True) -> set[str]:
    """Selects about `share` of each class, or of all videos, in whole groups.

    Orders groups by a hash of their names, so that neither the order of the videos nor one more
    video changes the selection of the others. Of two groups or more in a class, at least one is
    selected and at least one is left.

    Args:
        videos: candidates.
        share: 0..1.
        salt: text hashed with the names of the groups.
        by_class: applies `share` to each class, not to all videos.

    Returns:
        Ids of the selected videos.
    """
    if not share:
        return set()
    strata: dict[int, dict[str, list[str]]] = {}
    for video in videos:
        stratum = video.actions[0].label if by_class else 0
        strata.setdefault(stratum, {}).setdefault(video.group, []).append(video.id)
    selected: set[str] = set()
    for groups in strata.values():
        wanted = share * sum(map(len, groups.values()))
        order = sorted(groups, key=lambda name: hashlib.sha256(f"{salt}\0{name}".encode()).digest())
        taken = 0
        for name in order[:-1]:
            # Take another group only if that comes closer to the share.
            if taken and taken + len(groups[name]) / 2 > wanted:
                break
            selected.update(groups[name])
            taken += len(groups[name])
    return selected
