"""Finds what makes the score of a split worthless, or too high."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rlstm_tf.choices import SUBSETS
from tfrecords_tools.datasets.dataset import Video
from tfrecords_tools.datasets.groups import guess_recordings

_NAMED = 3


def warn_of_untested_classes(classes: Sequence[str], videos: Sequence[Video]) -> list[str]:
    """Warns of classes without a test video, if there is a test set."""
    counts = count_labels(video for video in videos if video.subset == "test")
    untested = [name for label, name in enumerate(classes) if not counts[label]]
    if not untested or not any(video.subset == "test" for video in videos):
        return []
    return [f"classes without a test video: {len(untested)} of {len(classes)}{list_some(untested)}"]


def warn_of_groups(videos: Sequence[Video]) -> list[str]:
    """Warns of groups in several subsets; without groups, of names that look like groups."""
    groups: dict[str, list[str]] = {}
    if any(video.group != video.id for video in videos):
        for video in videos:
            groups.setdefault(video.group, []).append(video.id)
        remedy = ""
    else:
        groups = guess_recordings(video.id for video in videos)
        remedy = ", to judge by their names; --group_by or a column group keeps a recording whole"
    subsets = {video.id: video.subset for video in videos}
    return warn_of_both_sides(subsets, groups, "clips of one recording", remedy)


def warn_of_both_sides(
    subsets: Mapping[str, str], groups: Mapping[str, Sequence[str]], what: str, remedy: str = ""
) -> list[str]:
    """Warns of groups whose videos are in several subsets, which makes scores too high.

    Args:
        subsets: subset of each video by its id.
        groups: ids of the videos of each group.
        what: the videos of a group.
        remedy: end of the line.
    """
    split: list[str] = []
    for names in groups.values():
        first = {subsets[name]: name for name in sorted(names, reverse=True)}
        if len(first) > 1:
            pair = [f"{first[subset]} ({subset})" for subset in SUBSETS if subset in first]
            split.append(" and ".join(pair))
    if not split:
        return []
    more = f", and {len(split) - 1} more" if len(split) > 1 else ""
    return [f"{what} in several subsets: {min(split)}{more}{remedy}"]


def count_labels(videos: Iterable[Video]) -> Counter[int]:
    """Counts the videos of each label."""
    return Counter(label for video in videos for label in {a.label for a in video.actions})


def list_some(names: Sequence[str]) -> str:
    """Returns the first few names in parentheses, with dots if there are more."""
    return f" ({', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''})"
