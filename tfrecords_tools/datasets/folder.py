"""Your own videos: one folder per class, or a CSV file of paths and labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rlstm_tf.choices import SUBSETS
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.files import file_sizes, is_directory, is_remote, list_directory
from tfrecords_tools.datasets.dataset import Action, Dataset, Video, read_csv
from tfrecords_tools.datasets.subsets import hold_out

# File names that count as videos in a folder.
EXTENSIONS = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
TEST_SHARE = 0.2

# Id, path, class name, subset ("" if not chosen yet).
_Row = tuple[str, str, str, str]


def read_folder(videos: str, test_share: float | None = None) -> Dataset:
    """Lists the videos of a directory with one folder per class, or of a CSV file.

    The CSV file has the header `path,label` or `path,label,subset`; paths are relative to it,
    labels are class names. Classes are in alphabetical order, or in numerical order if all of them
    are numbers. Without a column `subset`, `test_share` of each class becomes the test set, chosen
    by a hash of the id.

    Args:
        videos: directory or CSV file.
        test_share: 0..1; None means 0.2.

    Raises:
        DataError: no such file, a class without a video, a dangling link, a line that does not fit.
        UsageError: `test_share` is given and the file has a column `subset`.
    """
    if is_directory(videos):
        rows, num_ignored = _list_folders(videos)
    elif file_sizes([videos]) != [None]:
        rows, num_ignored = list(_read_rows(videos)), 0
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
        raise UsageError(f"--test_share does not go with {videos}, which has a column 'subset'")
    return Dataset("folder", 0, classes, tuple(listed), num_ignored=num_ignored)


def _list_folders(videos: str) -> tuple[list[_Row], int]:
    """Returns the rows, and the number of other files and folders."""
    rows: list[_Row] = []
    num_ignored = 0
    for label in list_directory(videos):
        class_directory = os.path.join(videos, label)
        if label.startswith(".") or not is_directory(class_directory):
            if not label.startswith(".") and file_sizes([class_directory]) == [None]:
                raise _not_a_file(class_directory)
            num_ignored += 1
            continue
        names = list_directory(class_directory)
        paths = [os.path.join(class_directory, name) for name in names if _is_video(name)]
        files = [path for path, size in zip(paths, file_sizes(paths)) if size is not None]
        for path in sorted(set(paths).difference(files)):
            if not is_directory(path):
                raise _not_a_file(path)
        if not files:
            raise DataError(
                f"class {label!r} is empty: no video in {class_directory} "
                f"(one folder per class; videos end in {' '.join(EXTENSIONS)})"
            )
        rows += [
            (_require_utf8(f"{label}/{os.path.basename(path)}"), path, label, "") for path in files
        ]
        num_ignored += len(names) - len(files)
    return rows, num_ignored


def _not_a_file(path: str) -> DataError:
    # Ignoring it, as after a failed mount, would silently give a smaller data set.
    if os.path.islink(path) and not os.path.exists(path):
        return DataError(f"{path} is a link to {os.readlink(path)}, which does not exist")
    return DataError(f"{path} is neither a file nor a directory")


def _is_video(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


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


def _require_utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"a file name is not UTF-8: {name!r}") from None
    return name
