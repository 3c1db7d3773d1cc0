"""HMDB-51: the official split files, one for each class and split; J-HMDB has such files too."""

from __future__ import annotations

import os
import re

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import list_directory
from rlstm_tf.storage.names import confine
from tfrecords_tools.datasets.dataset import (
    Action,
    Dataset,
    Video,
    make_dataset,
    read_lines,
    require_class_name,
    require_directories,
)

_SUBSETS = {"0": None, "1": "train", "2": "test"}


def read_hmdb51(videos: str, splits: str, split: int) -> Dataset:
    """Reads the split files (`testTrainMulti_7030_splits`); see `read_class_lists`."""
    return read_class_lists("hmdb51", videos, splits, split)


def read_class_lists(dataset: str, videos: str, splits: str, split: int) -> Dataset:
    """Reads `<class>_test_split<n>.txt` of every class; classes are in alphabetical order.

    A line is a file name and 1 (train), 2 (test) or 0 (not used in this split).

    Args:
        dataset: name of the data set.
        videos: directory with one folder per class.
        splits: directory of the split files.
        split: 1, 2 or 3.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    pattern = re.compile(rf"(.+)_test_split{split}\.txt")
    matches = [pattern.fullmatch(name) for name in list_directory(splits)]
    classes = tuple(sorted(match[1] for match in matches if match))
    if not classes:
        raise DataError(f"no file *_test_split{split}.txt in {splits}")
    listed: list[tuple[str, Video]] = []
    for label, name in enumerate(classes):
        require_class_name(name, splits)
        for where, line in read_lines(os.path.join(splits, f"{name}_test_split{split}.txt")):
            file_name, *number = line.rsplit(maxsplit=1)
            if not number or number[0] not in _SUBSETS:
                raise DataError(f"{where}: must be a file name and 0, 1 or 2, found {line!r}")
            if subset := _SUBSETS[number[0]]:
                path = os.path.join(videos, name, file_name)
                # The name of the source video precedes the class name.
                group = file_name.rsplit(f"_{name}_", 1)[0]
                video_id = confine(f"{name}/{file_name}", where, 2)
                video = Video(video_id, path, (Action(label),), subset, group)
                listed.append((where, video))
    return make_dataset(dataset, split, classes, splits, listed)
