"""From the name of a data set and where it lies to its list of videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tfrecords_tools.datasets import datasets
from tfrecords_tools.datasets.charades import charades
from tfrecords_tools.datasets.datasets import Dataset

# What each data set needs to be told beside where its videos are.
REQUIRED: dict[str, tuple[str, ...]] = {
    "ucf101": ("splits", "split"),
    "hmdb51": ("splits", "split"),
    "charades": ("splits",),
    "folder": (),
}
# Settings of a build that its list of videos depends on.
OF_THE_LIST = ("test_share", "val_share", "val_seed")


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
        name: `ucf101`, `hmdb51`, `charades` or `folder`.
        videos: where they lie, see the reader of each.
        splits: directory of the split files; None only for `folder`.
        split: number of the split; used for `ucf101` and `hmdb51`.
        settings: those of `OF_THE_LIST`.
        allow_missing: listed videos without a file are left out.

    Raises:
        DataError: what is there does not fit.
        UsageError: the settings do not.
    """
    # Here, so that --help does not wait for NumPy.
    from tfrecords_tools.datasets.folder import folder

    if name == "folder":
        listed = folder(videos, settings["test_share"])
    elif name == "charades":
        listed = charades(videos, splits or "")
    else:
        read = {"ucf101": datasets.ucf101, "hmdb51": datasets.hmdb51}[name]
        listed = read(videos, splits or "", split or 0)
    dataset = datasets.without_missing(listed, allow_missing)
    return datasets.with_validation(dataset, settings["val_share"], settings["val_seed"])


def announce(dataset: Dataset) -> None:
    """Prints what was listed, before hours are spent on it."""
    counts = Counter(video.subset for video in dataset.videos)
    listed = ", ".join(f"{count} {subset}" for subset, count in counts.items())
    print(f"{dataset.name}: {len(dataset.classes)} classes, videos: {listed}")
    if dataset.missing:
        print(f"{len(dataset.missing)} listed videos are not there, built without them")
    if dataset.passed_over:
        print(f"{dataset.passed_over} other files and folders were passed over")
    trained = {
        action.label
        for video in dataset.videos
        for action in video.actions
        if video.subset == "train"
    }
    if len(trained) < len(dataset.classes):
        print(f"{len(dataset.classes) - len(trained)} classes have no training video")
