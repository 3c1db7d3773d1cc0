"""A CSV file that lists videos: their labels, subsets, groups and intervals."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from rlstm_tf.choices import SUBSETS
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.datasets.dataset import read_csv, require_class_name

_REQUIRED = ("path", "label")
_OPTIONAL = ("subset", "group", "start", "end")
_SECONDS = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


@dataclass(frozen=True)
class ListedAction:
    """A label of a video by its name; `start` and `end` as in `dataset.Action`."""

    label: str
    start: float = 0.0
    end: float | None = None


@dataclass
class ListedVideo:
    """A video of the list, with the labels of all its rows.

    Attributes:
        id: its path as listed, normalized.
        path: file path or URL.
        subset: `train`, `val` or `test`; "" if the list does not say.
        group: name of its group; "" if the list does not say.
        actions: its labels, in the order listed.
        where: `file:line` of its first row.
    """

    id: str
    path: str
    subset: str
    group: str
    actions: list[ListedAction] = field(default_factory=list)
    where: str = ""


def read_video_list(path: str) -> list[ListedVideo]:
    """Reads a list of videos.

    The columns are `path` and `label`, and any of `subset`, `group`, `start` and `end`, in any
    order. Paths are relative to the file. Rows with the same path are one video with several
    labels, as are labels with `;` between them; `start` and `end`, in seconds, limit a row's labels
    to a part of the video.

    Args:
        path: local or remote CSV file.

    Raises:
        DataError: a line does not fit, two rows differ about a video, or one file is listed by
            paths that are spelled differently.
    """
    real_path = cache(os.path.realpath)
    videos: dict[str, ListedVideo] = {}
    # Identity of a file -> its path as listed.
    spellings: dict[str, str] = {}
    for where, cells in read_csv(path, _REQUIRED, _OPTIONAL):
        row = {name: cell.strip() for name, cell in cells.items()}
        _check_row(row, where)
        video = videos.get(row["path"])
        if video is None:
            video = _make_video(row, path, where)
            first = spellings.setdefault(_identify(video.path, where, real_path), row["path"])
            if first != row["path"]:
                raise DataError(
                    f"{where}: {row['path']} is the same file as {first} in "
                    f"{_line(videos[first].where)}; all rows of a video must spell its path alike"
                )
            videos[row["path"]] = video
        for name in ("subset", "group"):
            before, now = getattr(video, name), row.get(name, "")
            if before != now:
                raise DataError(
                    f"{where}: {video.id} has {name} {now!r}, in {_line(video.where)} {before!r}"
                )
        for action in _read_actions(row, where):
            if action in video.actions:
                raise DataError(
                    f"{where}: {video.id} has label {action.label!r} twice, "
                    f"its first row is {_line(video.where)}"
                )
            video.actions.append(action)
    return list(videos.values())


def _check_row(row: dict[str, str], where: str) -> None:
    for name in ("path", "label", "group"):
        if row.get(name) == "":
            alone = "; a video of no group has a name of its own there" if name == "group" else ""
            raise DataError(f"{where}: {name} is empty{alone}")
    subset = row.get("subset")
    if subset is not None and subset not in SUBSETS:
        raise DataError(f"{where}: subset must be one of {', '.join(SUBSETS)}, found {subset!r}")


def _make_video(row: dict[str, str], list_path: str, where: str) -> ListedVideo:
    name = row["path"] if is_remote(row["path"]) else os.path.normpath(row["path"])
    path = name if is_remote(name) else os.path.join(os.path.dirname(list_path), name)
    return ListedVideo(name, path, row.get("subset", ""), row.get("group", ""), where=where)


def _read_actions(row: dict[str, str], where: str) -> Iterator[ListedAction]:
    start, end = row.get("start", ""), row.get("end", "")
    interval: tuple[float, ...] = ()
    if start or end:
        if not (start and end):
            raise DataError(f"{where}: start and end must both be given, or neither")
        interval = _read_seconds("start", start, where), _read_seconds("end", end, where)
        if not interval[0] < interval[1]:
            raise DataError(f"{where}: end must be after start, found {start} to {end}")
    for label in row["label"].split(";"):
        yield ListedAction(require_class_name(label.strip(), where), *interval)


def _read_seconds(name: str, text: str, where: str) -> float:
    value = float(text) if _SECONDS.fullmatch(text) else math.inf
    if not math.isfinite(value):
        raise DataError(f"{where}: {name} must be seconds, such as 12.5, found {text!r}")
    return value


def _identify(path: str, where: str, real_path: Callable[[str], str]) -> str:
    """Returns a text that is the same for all paths of a file.

    Args:
        path: path or URL.
        where: `file:line`, for errors.
        real_path: `os.path.realpath`, or a faster one, for directories.

    Raises:
        DataError: the path is that of something else than a file or a directory.
    """
    if is_remote(path):
        return path
    directory, name = os.path.split(path)
    real = os.path.join(real_path(directory), name)
    try:
        status = os.lstat(real)
        if stat.S_ISLNK(status.st_mode):
            real, status = os.path.realpath(real), os.stat(real)
    except (OSError, ValueError):
        # A missing video, which may be allowed, or one that cannot be read: reported later.
        return real
    if stat.S_ISDIR(status.st_mode):
        # Of pictures, or it will be missing.
        return os.path.realpath(real)
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{where}: {path} is neither a file nor a directory")
    # A file with hard links has several names. The numbers of others need not be unique.
    return f"{status.st_dev}:{status.st_ino}" if status.st_nlink > 1 else real


def _line(where: str) -> str:
    return f"line {where.rpartition(':')[2]}"


def is_multi_label(videos: Iterable[ListedVideo]) -> bool:
    """Returns whether a video has several labels, or one for a part of its length."""
    return any(len(video.actions) != 1 or video.actions[0].end is not None for video in videos)
