"""Your own videos: one folder per class, or a CSV file of paths and labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from rlstm_tf.choices import SUBSETS
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.files import file_sizes, is_directory, is_remote
from tfrecords_tools.datasets.class_folders import list_class_folders
from tfrecords_tools.datasets.dataset import Action, Dataset, Video, read_csv
from tfrecords_tools.datasets.subsets import hold_out

TEST_SHARE = 0.2

# Id, path, class name, subset ("" if not chosen yet).
_Row = tuple[str, str, str, str]


def read_folder(videos: str, test_share: float | None = None) -> Dataset:
    """Lists the videos of a directory with one folder per class, or of a CSV file.

    The folders of the classes may be in folders `train`, `val` and `test`, which choose the subset.

    The CSV file has the header `path,label` or `path,label,subset`; paths are relative to it,
    labels are class names. Classes are in alphabetical order, or in numerical order if all of them
    are numbers. If neither a column nor a folder gives the subset, `test_share` of each class
    becomes the test set, chosen by a hash of the id.

    Args:
        videos: directory or CSV file.
        test_share: 0..1; None means 0.2.

    Raises:
        DataError: no such file, a class without a video, a dangling link, a line that does not fit.
        UsageError: `test_share` is given and the file or the folders give the subsets.
    """
    rows: Sequence[_Row]
    passed_over: Mapping[str, Sequence[str]] = {}
    if is_directory(videos):
        rows, passed_over = list_class_folders(videos)
    elif file_sizes([videos]) != [None]:
        rows = list(_read_rows(videos))
    else:
        raise DataError(f"no such directory or CSV file: {videos}")
    if not rows:
        raise DataError(f"{videos} lists no video")
    classes = _sort_classes({label for _, _, label, _ in rows})
    labels = {name: number for number, name in enumerate(classes)}
    listed = [
        Video(name, path, (Action(labels[label]),), subset, group=name)
        for name, path, label, subset in rows
    ]
    if not listed[0].subset:
        share = TEST_SHARE if test_share is None else test_share
        test = hold_out(listed, share, "test")
        listed = [
            replace(video, subset="test" if video.id in test else "train") for video in listed
        ]
    elif test_share is not None:
        raise UsageError(f"--test_share does not go with {videos}, which gives the subsets itself")
    return Dataset("folder", 0, classes, tuple(listed), passed_over=passed_over)


def _read_rows(path: str) -> Iterator[_Row]:
    seen: set[str] = set()
    for where, cells in read_csv(path, ("path", "label"), ("path", "label", "subset")):
        row = {name: cell.strip() for name, cell in cells.items()}
        for name in ("path", "label"):
            if not row[name]:
                raise DataError(f"{where}: {name} is empty")
        subset = row.get("subset", "")
        if "subset" in row and subset not in SUBSETS:
            raise DataError(
                f"{where}: subset must be one of {', '.join(SUBSETS)}, found {subset!r}"
            )
        video = row["path"] if is_remote(row["path"]) else os.path.normpath(row["path"])
        if video in seen:
            raise DataError(f"{where}: {video} is listed twice")
        seen.add(video)
        location = video if is_remote(video) else os.path.join(os.path.dirname(path), video)
        yield video, location, row["label"], subset


def _sort_classes(classes: Iterable[str]) -> tuple[str, ...]:
    names = sorted(classes)
    # Numeric labels 0..11 keep their numbers.
    if all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
    return tuple(names)
