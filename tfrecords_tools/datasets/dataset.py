"""Types for a list of labeled videos, and the file parsing that the readers share."""

from __future__ import annotations

import contextlib
import csv
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import is_directory, is_remote, open_text
from tfrecords_tools.datasets.source_files import source_sizes

_NAMED_IN_ERRORS = 3


@dataclass(frozen=True)
class Action:
    """A label of a video and its time interval.

    Attributes:
        label: index into the class list.
        start: seconds.
        end: seconds; None means the end of the video. If it is not after `start`, the video has the
            label but no frames to train on.
    """

    label: int
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Video:
    """A video file, or a folder of its pictures, with its labels.

    Attributes:
        id: unique in the data set; the path relative to the directory of videos.
        path: file or folder, path or URL.
        actions: exactly one, for the whole video, unless the data set is multi-label.
        subset: `train`, `val` or `test`.
        group: videos of one group (same source, same person) are never split between training and
            validation.
    """

    id: str
    path: str
    actions: tuple[Action, ...]
    subset: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """Videos and class names.

    Attributes:
        name: name in `registry.DATASETS`.
        split: number of the official split, 0 if there is none.
        classes: class names in label order; each has at least one listed video.
        videos: in the order listed.
        missing: ids of listed videos without a file.
        passed_over: by reason, the paths of the files and folders that are not taken as videos.
        multi_label: a video may have any number of actions, including none.
        test_is_chosen: the reader selected the videos of subset `test`; no list names them.
        notes: named counts of annotations that the reader clipped or dropped.
    """

    name: str
    split: int
    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    missing: tuple[str, ...] = ()
    passed_over: Mapping[str, Sequence[str]] = field(default_factory=dict)
    multi_label: bool = False
    test_is_chosen: bool = False
    notes: dict[str, int] = field(default_factory=dict)


def make_dataset(
    name: str,
    split: int,
    classes: tuple[str, ...],
    class_file: str,
    listed: Iterable[tuple[str, Video]],
    multi_label: bool = False,
    notes: dict[str, int] | None = None,
) -> Dataset:
    """Makes a data set from the lines of its lists.

    Args:
        name, split, classes, multi_label, notes: see `Dataset`.
        class_file: file or directory that names the classes, for the error message.
        listed: `file:line` and video of each line.

    Raises:
        DataError: a video is listed twice, or a class has no video.
    """
    videos: dict[str, Video] = {}
    for where, video in listed:
        first = videos.setdefault(video.id, video)
        if first is not video:
            raise DataError(
                f"{where}: {video.id} is listed twice ({first.subset} and {video.subset})"
            )
    labels = {action.label for video in videos.values() for action in video.actions}
    empty = [name for label, name in enumerate(classes) if label not in labels]
    if empty or not classes:
        names = ", ".join(empty[:_NAMED_IN_ERRORS]) or "none named"
        raise DataError(f"{class_file}: classes without a video in split {split}: {names}")
    return Dataset(
        name, split, classes, tuple(videos.values()), multi_label=multi_label, notes=notes or {}
    )


def drop_missing(dataset: Dataset, allow_missing: bool) -> Dataset:
    """Moves videos without a file to `missing`.

    Raises:
        DataError: all videos are missing, or some are and `allow_missing` is False.
    """
    found_sizes = source_sizes([video.path for video in dataset.videos])
    videos = tuple(video for video, size in zip(dataset.videos, found_sizes) if size is not None)
    missing = [video for video, size in zip(dataset.videos, found_sizes) if size is None]
    names = tuple(video.id for video in missing)
    if missing and not (allow_missing and videos):
        folders = [v.path for v in missing if not is_remote(v.path) and is_directory(v.path)]
        if folders:
            what = f"{folders[0]} is a directory without pictures"
        else:
            what = f"looked for {missing[0].path}"
        more = ", ..." if len(missing) > _NAMED_IN_ERRORS else ""
        hint = "; --allow_missing builds without them" if videos else ""
        raise DataError(
            f"{len(missing)} of {len(dataset.videos)} listed videos are missing: "
            f"{', '.join(names[:_NAMED_IN_ERRORS])}{more} ({what}){hint}"
        )
    return replace(dataset, videos=videos, missing=names)


def require_directories(*directories: str) -> None:
    """Raises DataError if a directory does not exist."""
    for directory in directories:
        if not is_directory(directory):
            raise DataError(f"no such directory: {directory}")


def read_lines(path: str) -> Iterator[tuple[str, str]]:
    """Yields `path:number` and the stripped text of each line that is not blank.

    Raises:
        DataError: the file cannot be read or is not UTF-8.
    """
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}:{number}", line.strip()


def read_numbered_classes(path: str, number_of: Callable[[int], str]) -> list[tuple[str, str]]:
    """Reads lines `NUMBER NAME` whose numbers are in order.

    Args:
        path: text file.
        number_of: maps a label, from 0, to the number that the file must give it.

    Returns:
        (number, class name) of each label.

    Raises:
        DataError: the file cannot be read, or a line does not fit.
    """
    classes: list[tuple[str, str]] = []
    for where, line in read_lines(path):
        number, _, name = line.partition(" ")
        expected = number_of(len(classes))
        if number != expected or not name.strip():
            raise DataError(f"{where}: must be {expected} and a class name, found {line!r}")
        classes.append((number, require_class_name(name.strip(), where)))
    return classes


def require_class_name(name: str, where: str) -> str:
    """Returns a class name, unless it is empty or would break a line of text.

    Args:
        name: class name.
        where: `file:line` or folder, for the error message.

    Raises:
        DataError: it is empty, or has control characters or line separators.
    """
    if not name:
        raise DataError(f"{where}: a label is empty")
    for char in name:
        if unicodedata.category(char) in ("Cc", "Zl", "Zp"):
            raise DataError(f"{where}: label {name!r} has the control character {char!r}")
    return name


def read_csv(
    path: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields `path:line` (the row's last line) and the cells of each row by column name.

    Args:
        path: CSV file.
        required: columns that the file must have, in any order.
        optional: columns that it may have.

    Raises:
        DataError: the file cannot be read, is not UTF-8 or CSV, or has other columns.
    """
    with _open(path, newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, ())]
            if wrong := _describe_header(header, required, optional):
                more = f", and may have {','.join(optional)}" if optional else ""
                raise DataError(f"{path}:1: the header must be {','.join(required)}{more}; {wrong}")
            for cells in filter(None, reader):
                where = f"{path}:{reader.line_num}"
                if len(cells) != len(header):
                    raise DataError(f"{where} has {len(cells)} cells, the header {len(header)}")
                yield where, dict(zip(header, cells))
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num} is not CSV: {error}") from None


def _describe_header(
    header: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> str | None:
    """Describes what is wrong with the names of columns."""
    found = f"in {','.join(header)!r}"
    for name in header:
        if name not in (*required, *optional):
            return f"unknown column {name!r} {found}"
        if header.count(name) > 1:
            return f"column {name!r} is twice {found}"
    missing = [name for name in required if name not in header]
    return f"no column {missing[0]!r} {found}" if missing else None


@contextlib.contextmanager
def _open(path: str, newline: str | None = None) -> Iterator[TextIO]:
    try:
        with open_text(path, newline) as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
