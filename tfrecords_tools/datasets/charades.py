"""Charades: the annotation files, as published; videos have any number of timed actions."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator

from rlstm_tf.errors import DataError
from tfrecords_tools.datasets.dataset import (
    Action,
    Dataset,
    Video,
    make_dataset,
    read_csv,
    read_numbered_classes,
    require_directories,
)

_CLASSES = "Charades_v1_classes.txt"
_HEADER = (
    *("id", "subject", "scene", "quality", "relevance", "verified", "script", "objects"),
    *("descriptions", "actions", "length"),
)
_ID = re.compile(r"[A-Za-z0-9]+")
# Thousands of digits would be infinite.
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")
_INTERVAL = re.compile(r"(c\d{3}) (\d{1,9}(?:\.\d+)?) (\d{1,9}(?:\.\d+)?)")


def read_charades(videos: str, splits: str) -> Dataset:
    """Reads `Charades_v1_train.csv`, `Charades_v1_test.csv` and `Charades_v1_classes.txt`.

    Clips each interval to the video, 0 s to its length. An interval that is then empty gives its
    video the label but no frames to train on. `notes` counts, for each subset, the intervals
    listed, clipped and empty, and the videos without an action.

    Args:
        videos: directory with the files `ID.mp4`.
        splits: directory of the annotation files.

    Raises:
        DataError: a directory or file is missing, or a line does not fit.
    """
    require_directories(videos, splits)
    class_file = os.path.join(splits, _CLASSES)
    numbered = read_numbered_classes(class_file, lambda label: f"c{label:03d}")
    labels = {number: label for label, (number, _) in enumerate(numbered)}
    # With the number: the text alone is for display, and need not be unique.
    classes = tuple(map(" ".join, numbered))
    listed: list[tuple[str, Video]] = []
    notes: dict[str, int] = {}
    for subset in ("train", "test"):
        counts = Counter(
            intervals_listed=0,
            intervals_clipped=0,
            intervals_without_time=0,
            videos_without_action=0,
        )
        for where, row in read_csv(os.path.join(splits, f"Charades_v1_{subset}.csv"), _HEADER):
            if not _ID.fullmatch(row["id"]):
                raise DataError(f"{where}: id must be letters and digits, found {row['id']!r}")
            actions = tuple(_parse_actions(row, labels, where, counts))
            counts["videos_without_action"] += not actions
            path = os.path.join(videos, row["id"] + ".mp4")
            listed.append((where, Video(row["id"], path, actions, subset, row["subject"])))
        notes.update({f"{subset}_{name}": count for name, count in counts.items()})
    return make_dataset("charades", 0, classes, class_file, listed, multi_label=True, notes=notes)


def _parse_actions(
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
