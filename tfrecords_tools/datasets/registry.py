"""Readers by data set name. A new data set needs a module beside this one and a row below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rlstm_tf.messages import say
from tfrecords_tools.datasets.charades import read_charades
from tfrecords_tools.datasets.class_folders import describe_passed_over
from tfrecords_tools.datasets.dataset import Dataset, drop_missing
from tfrecords_tools.datasets.folder import read_folder
from tfrecords_tools.datasets.hmdb51 import read_hmdb51
from tfrecords_tools.datasets.jhmdb import read_jhmdb
from tfrecords_tools.datasets.split_warnings import warn_of_groups, warn_of_untested_classes
from tfrecords_tools.datasets.subsets import add_validation
from tfrecords_tools.datasets.ucf101 import read_ucf101


class Reader(NamedTuple):
    """A data set's reader, and the flags that it takes by name beside the place of the videos."""

    read: Callable[..., Dataset]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


DATASETS = {
    "ucf101": Reader(read_ucf101, ("splits", "split")),
    "hmdb51": Reader(read_hmdb51, ("splits", "split")),
    "jhmdb": Reader(read_jhmdb, ("splits", "split")),
    "charades": Reader(read_charades, ("splits",)),
    "folder": Reader(read_folder, optional=("test_share", "group_by")),
}
# Build settings that the list of videos depends on. So does `group_by`, which is one only where it
# is given.
LIST_SETTINGS = ("test_share", "val_share", "val_seed")


def read_dataset(
    name: str,
    videos: str,
    splits: str | None,
    split: int | None,
    settings: Mapping[str, Any],
    allow_missing: bool,
) -> Dataset:
    """Lists the videos of each subset.

    Args:
        name: key of `DATASETS`.
        videos: directory of the videos, or a CSV file.
        splits: directory of the split files, if the reader requires it.
        split: number of the split, if the reader requires it.
        settings: values of `LIST_SETTINGS`, and `group_by` if given.
        allow_missing: leaves out listed videos without a file.

    Raises:
        DataError: the files do not fit.
        UsageError: a setting does not fit the files.
    """
    reader = DATASETS[name]
    flags = {**settings, "splits": splits, "split": split}
    listed = reader.read(
        videos, **{flag: flags.get(flag) for flag in reader.required + reader.optional}
    )
    dataset = drop_missing(listed, allow_missing)
    return add_validation(dataset, settings["val_share"], settings["val_seed"])


def print_summary(dataset: Dataset) -> None:
    """Prints the counts of classes and videos before the long work starts."""
    counts = Counter(video.subset for video in dataset.videos)
    listed = ", ".join(f"{count} {subset}" for subset, count in counts.items())
    say(f"{dataset.name}: {len(dataset.classes)} classes, videos: {listed}")
    if dataset.missing:
        say(f"{len(dataset.missing)} listed videos are missing, building without them")
    if dataset.passed_over:
        say(f"passed over: {describe_passed_over(dataset.passed_over)}")
    if dataset.multi_label:
        several = sum(len({action.label for action in v.actions}) > 1 for v in dataset.videos)
        timed = sum(any(action.end is not None for action in v.actions) for v in dataset.videos)
        say(f"multi-label: {several} videos have several labels, {timed} have timed ones")
    training = [video for video in dataset.videos if video.subset == "train"]
    trained = {action.label for video in training for action in video.actions}
    if len(trained) < len(dataset.classes):
        say(f"{len(dataset.classes) - len(trained)} classes have no training video")
    warnings = warn_of_untested_classes(dataset.classes, dataset.videos)
    if dataset.name == "folder":
        warnings += warn_of_groups(dataset.videos)
    for warning in warnings:
        say(f"warning: {warning}")
