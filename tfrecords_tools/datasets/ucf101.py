"""UCF-101: the official split files, as published (CRLF or LF, test lists without labels)."""

from __future__ import annotations

import os
import re

from rlstm_tf.errors import DataError
from rlstm_tf.storage.names import confine
from tfrecords_tools.datasets.dataset import (
    Action,
    Dataset,
    Video,
    make_dataset,
    read_lines,
    read_numbered_classes,
    require_directories,
)


def read_ucf101(videos: str, splits: str, split: int) -> Dataset:
    """Reads `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`.

    Args:
        videos: directory with one folder per class (`UCF-101`).
        splits: directory of the split files (`ucfTrainTestlist`).
        split: 1, 2 or 3.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    class_file = os.path.join(splits, "classInd.txt")
    labels: dict[str, int] = {}
    for class_number, name in read_numbered_classes(class_file, lambda label: str(label + 1)):
        if name in labels:
            raise DataError(f"{class_file}: class {name!r} is listed twice")
        labels[name] = int(class_number) - 1
    listed: list[tuple[str, Video]] = []
    for subset in ("train", "test"):
        for where, line in read_lines(os.path.join(splits, f"{subset}list{split:02d}.txt")):
            video_id, *number = line.rsplit(maxsplit=1) if re.search(r"\s\d+$", line) else (line,)
            name = _class_folder(video_id, where)
            if name not in labels:
                raise DataError(f"{where}: no class {name!r} in {class_file}")
            # Not as numbers: Python refuses to parse thousands of digits.
            if number and number[0].lstrip("0") != str(labels[name] + 1):
                raise DataError(
                    f"{where}: label {number[0]} for class {name!r}, "
                    f"which is {labels[name] + 1} of {len(labels)} in {class_file}"
                )
            # v_HighJump_g01_c02.avi: clip 2 of source group 1.
            group = re.sub(r"_c\d+\.\w+$", "", os.path.basename(video_id))
            path, actions = os.path.join(videos, video_id), (Action(labels[name]),)
            listed.append((where, Video(video_id, path, actions, subset, group)))
    return make_dataset("ucf101", split, tuple(labels), class_file, listed)


def _class_folder(video_id: str, where: str) -> str:
    if video_id.count("/") != 1:
        raise DataError(f"{where}: must be <class>/<file name>, found {video_id!r}")
    return confine(video_id, where).split("/")[0]
