"""J-HMDB: the official split files, in the format of HMDB-51's."""

from __future__ import annotations

from collections import Counter

from rlstm_tf.errors import DataError
from tfrecords_tools.datasets.dataset import Dataset
from tfrecords_tools.datasets.hmdb51 import read_class_lists

# 21 of the classes of HMDB-51, whose lists of them name other clips.
CLASSES = (
    *("brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour"),
    *("pullup", "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand"),
    *("swing_baseball", "throw", "walk", "wave"),
)
# Split -> numbers of training and test videos.
COUNTS = {1: (660, 268), 2: (658, 270), 3: (663, 265)}


def read_jhmdb(videos: str, splits: str, split: int) -> Dataset:
    """Reads the split files, and compares their classes and counts with those of J-HMDB.

    Args:
        videos: directory with one folder per class.
        splits: directory of the split files (`splits`).
        split: 1, 2 or 3.

    Raises:
        DataError: a directory or file is missing, a line does not fit, or the files are not those
            of J-HMDB.
    """
    dataset = read_class_lists("jhmdb", videos, splits, split)
    if other := sorted({*CLASSES}.symmetric_difference(dataset.classes)):
        what = "has lists of" if other[0] in dataset.classes else "lacks the list of"
        raise DataError(f"{splits} {what} {other[0]!r}: these are not the 21 classes of J-HMDB")
    if split not in COUNTS:
        raise DataError(f"{splits} has a split {split}: J-HMDB has {', '.join(map(str, COUNTS))}")
    subsets = Counter(video.subset for video in dataset.videos)
    found = subsets["train"], subsets["test"]
    if found != COUNTS[split]:
        raise DataError(
            "{}: split {} has {} training and {} test videos, that of J-HMDB has {} and {}".format(
                splits, split, *found, *COUNTS[split]
            )
        )
    return dataset
