"""Builds shards from videos: JPEG frames, or optical flow, in TFRecords, and an index of them.

    python -m tfrecords_tools.build --dataset=ucf101 --videos=UCF-101 \\
        --splits=ucfTrainTestlist --split=1 --output=data/ucf101_split1 --workers=8
    python -m tfrecords_tools.build --dataset=folder --videos=my_videos --output=data/mine
    python -m tfrecords_tools.build --stream=temporal --flow=tvl1 --dataset=charades \\
        --videos=Charades_v1_480 --splits=Charades --output=data/charades_flow

`--dataset=folder` is one folder a class, or a CSV file with the header path,label (or
path,label,subset). Run the same command again to continue a build that was stopped. A video that
does not decode is named, left out, and makes the exit status 1, unless --max_bad_videos allows it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from absl import flags

from rlstm_tf import cli
from rlstm_tf.data.datasets import Dataset
from rlstm_tf.errors import DataError, UsageError

# What each data set needs to be told beside --videos.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "ucf101": ("splits", "split"),
    "hmdb51": ("splits", "split"),
    "charades": ("splits",),
    "folder": (),
}
# Of a field, see tfrecords_tools.flow; here, so that --help does not wait for OpenCV.
_SHORTEST_SIDE = 16
# Flags that change what the shards hold, beside the list of videos.
_SETTINGS = (
    *("short_side", "jpeg_quality", "frames_per_record"),
    *("test_share", "val_share", "val_seed"),
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum("dataset", None, [*_REQUIRED], "What --videos holds.", **own)
    flags.DEFINE_string(
        "videos",
        None,
        "Directory with one folder a class; charades: with all files; folder: or a CSV file.",
        **own,
    )
    flags.DEFINE_string(
        "splits", None, "ucf101, hmdb51, charades: directory of the split files.", **own
    )
    flags.DEFINE_integer("split", None, "ucf101, hmdb51: number of the split.", 1, **own)
    flags.DEFINE_float(
        "test_share",
        None,
        "folder: share of each class for the test set; default 0.2.",
        0,
        1,
        **own,
    )
    flags.DEFINE_float(
        "val_share", 0.0, "Share of the training videos held out as subset val.", 0, 1, **own
    )
    flags.DEFINE_integer("val_seed", 0, "Another seed holds out other videos.", **own)
    flags.DEFINE_enum("stream", "spatial", ["spatial", "temporal"], "Frames, or flow.", **own)
    flags.DEFINE_enum(
        "flow", None, ["tvl1", "dis"], "temporal: the method; default tvl1, the paper's.", **own
    )
    flags.DEFINE_list(
        "reuse",
        [],
        "Finished shards of another split: images of the same videos are copied from there.",
        **own,
    )
    flags.DEFINE_string("output", None, "Directory of the shards: new, empty or begun.", **own)
    flags.DEFINE_integer("shards", 8, "Shards of the training set.", 1, 99_999, **own)
    flags.DEFINE_integer("workers", _cores(), "Processes that decode.", 1, **own)
    flags.DEFINE_integer("short_side", 256, "Pixels of a frame's short side.", 8, 8192, **own)
    flags.DEFINE_integer("jpeg_quality", 95, "Of the stored frames.", 1, 100, **own)
    flags.DEFINE_integer(
        "frames_per_record", 512, "A longer video is split over several records.", 1, **own
    )
    flags.DEFINE_bool("allow_missing", False, "Build without listed videos not there.", **own)
    flags.DEFINE_integer("max_bad_videos", 0, "Damaged videos that are no failure.", 0, **own)


def main(values: flags.FlagValues) -> int:
    """Builds; the exit status is 1 if there are more damaged videos than allowed."""
    _check(values)
    dataset = _dataset(values)
    from tfrecords_tools.output import claimed
    from tfrecords_tools.plan import make_plan
    from tfrecords_tools.stored import places

    settings = {name: values[name].value for name in _SETTINGS}
    if values.stream == "temporal":
        settings["flow"] = values.flow or "tvl1"
    plan = make_plan(dataset, values.stream, settings, values.shards)
    stored = places(values.reuse, dataset.name, values.stream, settings)
    _announce(dataset)
    with claimed(values.output, plan.identity) as manifest:
        if manifest is None:
            cli.load_tensorflow()
            from tfrecords_tools.assembly import build

            manifest = build(plan, values.output, values.workers, stored)
        else:
            print(f"{values.output} is complete already")
    for name, subset in manifest.subsets.items():
        images = "frames" if manifest.stream == "spatial" else "fields"
        counts = f"{subset.videos} videos, {subset.frames} {images}, {subset.samples} samples"
        print(f"{name}: {counts}, {len(subset.shards)} shards")
    for note, count in manifest.notes.items():
        print(f"{note.replace('_', ' ')}: {count}")
    for video in manifest.damaged:
        print("damaged: {id}: {reason}".format(**video), file=sys.stderr)
    if len(manifest.damaged) > values.max_bad_videos:
        raise DataError(
            f"{len(manifest.damaged)} damaged videos were left out of {values.output}; "
            f"--max_bad_videos allows {values.max_bad_videos}"
        )
    return 0


def _check(values: flags.FlagValues) -> None:
    own = _REQUIRED.get(values.dataset, ())
    for name in ("dataset", "videos", "output", *own):
        if values[name].value is None:
            raise UsageError(f"--{name} is required: {values[name].help}")
    for name in ("splits", "split", "test_share"):
        of_folder = values.dataset == "folder" and name == "test_share"
        if values[name].value is not None and name not in own and not of_folder:
            raise UsageError(f"--{name} does not go with --dataset={values.dataset}")
    if values.reuse and values.dataset not in ("ucf101", "hmdb51"):
        raise UsageError("--reuse goes with ucf101 and hmdb51, which have several splits")
    if values.flow and values.stream == "spatial":
        raise UsageError("--flow does nothing without --stream=temporal")
    if values.stream == "temporal" and values.short_side < _SHORTEST_SIDE:
        raise UsageError(
            f"--short_side={values.short_side}: --stream=temporal needs at least {_SHORTEST_SIDE}"
        )
    if values.val_seed and not values.val_share:
        raise UsageError("--val_seed does nothing without --val_share")
    if "://" in values.output:
        raise UsageError(
            f"--output={values.output}: must be a local directory; copy finished shards elsewhere"
        )


def _dataset(values: flags.FlagValues) -> Dataset:
    from rlstm_tf.data import datasets
    from rlstm_tf.data.charades import charades
    from rlstm_tf.data.folder import folder

    if values.dataset == "folder":
        listed = folder(values.videos, values.test_share)
    elif values.dataset == "charades":
        listed = charades(values.videos, values.splits)
    else:
        read = {"ucf101": datasets.ucf101, "hmdb51": datasets.hmdb51}[values.dataset]
        listed = read(values.videos, values.splits, values.split)
    dataset = datasets.without_missing(listed, values.allow_missing)
    return datasets.with_validation(dataset, values.val_share, values.val_seed)


def _announce(dataset: Dataset) -> None:
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


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))
