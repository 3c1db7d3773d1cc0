"""Charades: the annotation files as published -> videos with any number of timed actions."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import open_text
from tfrecords_tools.datasets.datasets import (
    Action,
    Dataset,
    Video,
    add,
    checked,
    lines,
    require_directories,
)

_CLASSES = "Charades_v1_classes.txt"
_HEADER = (
    *("id", "subject", "scene", "quality", "relevance", "verified", "script", "objects"),
    *("descriptions", "actions", "length"),
)
_ID = re.compile(r"[A-Za-z0-9]+")
_SECONDS = re.compile(r"\d+(\.\d+)?")
_INTERVAL = re.compile(r"(c\d{3}) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)")


def charades(videos: str, splits: str) -> Dataset:
    """Reads `Charades_v1_train.csv`, `Charades_v1_test.csv` and `Charades_v1_classes.txt`.

    An interval is cut to the video, from 0 s to its length. One that is then not longer than 0 s
    (it ends where it starts or before, or starts after the end) gives its video the label, and
    nothing to train on. `notes` counts, of each subset, the intervals listed, those cut and kept,
    those without time, and the videos without any action.

    Args:
        videos: directory with the files `ID.mp4`.
        splits: directory of the annotation files.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    class_file = os.path.join(splits, _CLASSES)
    classes = _classes(class_file)
    labels = {name.split()[0]: label for label, name in enumerate(classes)}
    listed: dict[str, Video] = {}
    notes: dict[str, int] = {}
    for subset in ("train", "test"):
        path = os.path.join(splits, f"Charades_v1_{subset}.csv")
        counts = Counter(
            intervals_listed=0,
            intervals_clipped=0,
            intervals_without_time=0,
            videos_without_action=0,
        )
        for where, row in _rows(path):
            if not _ID.fullmatch(row["id"]):
                raise DataError(f"{where}: id must be letters and digits, found {row['id']!r}")
            actions = tuple(_actions(row, labels, where, counts))
            counts["videos_without_action"] += not actions
            file = os.path.join(videos, row["id"] + ".mp4")
            add(listed, Video(row["id"], file, actions, subset, row["subject"]), where)
        notes.update({f"{subset}_{name}": count for name, count in counts.items()})
    dataset = Dataset(
        *("charades", 0, classes, tuple(listed.values())), multi_label=True, notes=notes
    )
    return checked(dataset, class_file)


def _classes(path: str) -> tuple[str, ...]:
    """`c000 Holding some clothes`, ...: with the number, since the text is for display only."""
    classes: list[str] = []
    for where, line in lines(path):
        number, _, name = line.partition(" ")
        if number != f"c{len(classes):03d}" or not name.strip():
            raise DataError(f"{where}: must be c{len(classes):03d} and a name, found {line!r}")
        classes.append(f"{number} {name.strip()}")
    return tuple(classes)


def _rows(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """`path:line` (a row's last) and the cells of each row by name."""
    try:
        with open_text(path, newline="") as file:
            yield from _csv_rows(path, file)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None


def _csv_rows(path: str, file: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(file, strict=True)
    try:
        if tuple(next(reader, ())) != _HEADER:
            raise DataError(f"{path}:1: the header must be {','.join(_HEADER)}")
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(_HEADER):
                raise DataError(f"{where} has {len(cells)} cells, the header {len(_HEADER)}")
            yield where, dict(zip(_HEADER, cells))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num} is no CSV: {error}") from None


def _actions(
    row: dict[str, str], labels: dict[str, int], where: str, counts: Counter[str]
) -> Iterator[Action]:
    if not _SECONDS.fullmatch(row["length"]):
        raise DataError(f"{where}: length must be seconds, found {row['length']!r}")
    length = float(row["length"])
    for text in row["actions"].split(";") if row["actions"] else []:
        match = _INTERVAL.fullmatch(text)
        if not match:
            raise DataError(f"{where}: an action must be like c092 11.90 21.20, found {text!r}")
        if match[1] not in labels:
            raise DataError(f"{where}: no class {match[1]} in {_CLASSES}")
        start, end = float(match[2]), min(float(match[3]), length)
        counts["intervals_listed"] += 1
        if start < end:
            counts["intervals_clipped"] += end < float(match[3])
            yield Action(labels[match[1]], start, end)
        else:
            counts["intervals_without_time"] += 1
            yield Action(labels[match[1]], 0.0, 0.0)
