"""Your own videos: one folder per class, or a CSV file of paths and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.files import file_sizes, is_directory
from tfrecords_tools.datasets.class_folders import list_class_folders
from tfrecords_tools.datasets.dataset import Action, Dataset, Video
from tfrecords_tools.datasets.groups import match_groups
from tfrecords_tools.datasets.subsets import hold_out
from tfrecords_tools.datasets.video_list import (
    ListedAction,
    ListedVideo,
    is_multi_label,
    read_video_list,
)

TEST_SHARE = 0.2
# Of a label that counts as a number: Python refuses to parse thousands.
_DIGITS = 18


def read_folder(
    videos: str, test_share: float | None = None, group_by: str | None = None
) -> Dataset:
    """Lists the videos of a directory with one folder per class, or of a CSV file.

    `class_folders` and `video_list` say how these look. Classes are in alphabetical order, or in
    numerical order if all of them are numbers. If neither a column nor a folder gives the subset,
    about `test_share` of each class becomes the test set, in whole groups, chosen by a hash of
    their names. The data set is multi-label if a video of the list has several labels, or one for a
    part of its length.

    Args:
        videos: directory or CSV file.
        test_share: 0..1; None means 0.2.
        group_by: regular expression that finds the group of a video in its id; None means that the
            list has a column `group`, or that each video is its own group.

    Raises:
        DataError: no such file, a class without a video, a dangling link, a line that does not fit,
            or an id in which `group_by` finds nothing.
        UsageError: an argument is given for what the file or the folders say, or `group_by` is not
            a regular expression.
    """
    passed_over: Mapping[str, Sequence[str]] = {}
    if is_directory(videos):
        found, passed_over = list_class_folders(videos)
        rows = [ListedVideo(v.id, v.path, v.subset, "", [ListedAction(v.label)]) for v in found]
    elif file_sizes([videos]) != [None]:
        rows = read_video_list(videos)
    else:
        raise DataError(f"no such directory or CSV file: {videos}")
    if not rows:
        raise DataError(f"{videos} lists no video")
    groups = {row.id: row.group or row.id for row in rows}
    grouped = bool(rows[0].group)
    if group_by is not None:
        if grouped:
            raise UsageError(f"--group_by does not go with {videos}, which has a column 'group'")
        groups, grouped = match_groups(groups, group_by), True
    classes = _sort_classes({action.label for row in rows for action in row.actions})
    labels = {name: number for number, name in enumerate(classes)}
    listed = [
        Video(
            *(row.id, row.path),
            tuple(Action(labels[one.label], one.start, one.end) for one in row.actions),
            *(row.subset, groups[row.id]),
        )
        for row in rows
    ]
    chosen = not listed[0].subset
    if chosen:
        share = TEST_SHARE if test_share is None else test_share
        test = hold_out(listed, share, "test", balance=grouped)
        listed = [
            replace(video, subset="test" if video.id in test else "train") for video in listed
        ]
    elif test_share is not None:
        raise UsageError(f"--test_share does not go with {videos}, which gives the subsets itself")
    return Dataset(
        *("folder", 0, classes, tuple(listed)),
        passed_over=passed_over,
        multi_label=is_multi_label(rows),
        test_is_chosen=chosen,
    )


def _sort_classes(classes: Iterable[str]) -> tuple[str, ...]:
    names = sorted(classes)
    # Numeric labels 0..11 keep their numbers.
    if all(name.isascii() and name.isdigit() and len(name) <= _DIGITS for name in names):
        names.sort(key=int)
        for one, other in zip(names, names[1:]):
            if int(one) == int(other):
                raise DataError(f"labels {one!r} and {other!r} are the same number")
    return tuple(names)
