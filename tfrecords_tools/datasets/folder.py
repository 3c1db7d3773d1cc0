"""A user's own videos: one folder a class, or a CSV file of paths and labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rlstm_tf.data.schema import SUBSETS
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.files import is_directory, is_remote, list_directory, open_text, sizes
from tfrecords_tools.datasets.datasets import Action, Dataset, Video, held_out

# What counts as a video in a folder; other files are passed over.
EXTENSIONS = (
    ".3gp",
    ".avi",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".ts",
    ".webm",
    ".wmv",
)
TEST_SHARE = 0.2

_HEADERS = (["path", "label"], ["path", "label", "subset"])


def folder(videos: str, test_share: float | None = None) -> Dataset:
    """Lists the videos of a directory with one folder a class, or of a CSV file.

    The CSV file has the header `path,label` or `path,label,subset`; paths are relative to it,
    labels are class names. Classes are in alphabetical order, or in numerical order if all of them
    are numbers. Without a column `subset`, `test_share` of each class becomes the test set, chosen
    by a hash of the id.

    Args:
        videos: directory or CSV file.
        test_share: 0..1; None is 0.2.

    Raises:
        DataError: nothing there, a class without a video, a link to nothing, a line that does not
            fit.
        UsageError: a share is given and the file has a column `subset`.
    """
    if is_directory(videos):
        rows, passed_over = _directory(videos)
    elif sizes([videos]) != [None]:
        rows, passed_over = list(_csv(videos)), 0
    else:
        raise DataError(f"no such directory or CSV file: {videos}")
    if not rows:
        raise DataError(f"{videos} names no video")
    classes = _in_order({label for _, _, label, _ in rows})
    labels = {name: number for number, name in enumerate(classes)}
    listed = [
        Video(name, path, (Action(labels[label]),), subset, group=name)
        for name, path, label, subset in rows
    ]
    if not listed[0].subset:
        share = TEST_SHARE if test_share is None else test_share
        test = held_out(listed, share, "test")
        listed = [
            replace(video, subset="test" if video.id in test else "train") for video in listed
        ]
    elif test_share is not None:
        raise UsageError(f"--test_share does not go with {videos}, which has a column 'subset'")
    return Dataset("folder", 0, classes, tuple(listed), passed_over=passed_over)


# Id, path, class name, subset ("" = to be chosen).
_Row = tuple[str, str, str, str]


def _directory(videos: str) -> tuple[list[_Row], int]:
    rows: list[_Row] = []
    passed_over = 0
    for label in list_directory(videos):
        class_directory = os.path.join(videos, label)
        if label.startswith(".") or not is_directory(class_directory):
            if not label.startswith(".") and sizes([class_directory]) == [None]:
                raise _neither(class_directory)
            passed_over += 1
            continue
        before = len(rows)
        names = list_directory(class_directory)
        paths = [os.path.join(class_directory, name) for name in names if _is_video(name)]
        there = [path for path, size in zip(paths, sizes(paths)) if size is not None]
        for path in sorted(set(paths).difference(there)):
            if not is_directory(path):
                raise _neither(path)
        rows += [(_text(f"{label}/{os.path.basename(path)}"), path, label, "") for path in there]
        passed_over += len(names) - len(there)
        if len(rows) == before:
            raise DataError(
                f"class {label!r} is empty: no video in {class_directory} "
                f"(one folder a class; videos end in {' '.join(EXTENSIONS)})"
            )
    return rows, passed_over


def _neither(path: str) -> DataError:
    """The error for a name in a directory behind which there may be a video that is missing."""
    if os.path.islink(path) and not os.path.exists(path):
        return DataError(f"{path} is a link to {os.readlink(path)}, which is not there")
    return DataError(f"{path} is neither a file nor a directory")


def _is_video(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _csv(path: str) -> Iterator[_Row]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with open_text(path, newline="") as file:
            yield from _csv_rows(path, file)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}") from None


def _csv_rows(path: str, file: Iterable[str]) -> Iterator[_Row]:
    reader = csv.reader(file, strict=True)
    header = next(reader, [])
    if header not in _HEADERS:
        raise DataError(
            f"{path}:1: the header must be path,label or path,label,subset, "
            f"found {','.join(header)!r}"
        )
    seen: set[str] = set()
    for cells in reader:
        if not cells:
            continue
        where = f"{path}:{reader.line_num}"
        if len(cells) != len(header):
            raise DataError(f"{where} has {len(cells)} cells, the header {len(header)}")
        video, label, subset = [cell.strip() for cell in [*cells, ""][:3]]
        if not video or not label:
            raise DataError(f"{where}: {'path' if not video else 'label'} is empty")
        if len(header) == 3 and subset not in SUBSETS:
            raise DataError(
                f"{where}: subset must be one of {', '.join(SUBSETS)}, found {subset!r}"
            )
        if not is_remote(video):
            video = os.path.normpath(video)
        if video in seen:
            raise DataError(f"{where}: {video} is listed twice")
        seen.add(video)
        place = video if is_remote(video) else os.path.join(os.path.dirname(path), video)
        yield video, place, label, subset


def _in_order(classes: Iterable[str]) -> tuple[str, ...]:
    names = sorted(classes)
    # Labels 0..11 given as numbers stay the numbers they are.
    if all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
    return tuple(names)


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"a file name is not UTF-8: {name!r}") from None
    return name
