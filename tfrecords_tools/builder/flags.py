"""The flags of the entry points that make shards of videos, and what they mean together."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.datasets.registry import OF_THE_LIST, REQUIRED, announce, read_dataset

if TYPE_CHECKING:
    from rlstm_tf.data.schema import Manifest
    from tfrecords_tools.builder.plan import Plan

# Of a field, see rlstm_tf.data.optical_flow; here, so that --help does not wait for OpenCV.
_SHORTEST_SIDE = 16
# Flags that change what the shards hold, beside the list of videos.
_SETTINGS = ("short_side", "jpeg_quality", "frames_per_record", *OF_THE_LIST)


def define(values: flags.FlagValues) -> None:
    """Defines them."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum("dataset", None, [*REQUIRED], "What --videos holds.", **own)
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
    flags.DEFINE_integer("short_side", 256, "Pixels of a frame's short side.", 8, 8192, **own)
    flags.DEFINE_integer("jpeg_quality", 95, "Of the stored frames.", 1, 100, **own)
    flags.DEFINE_integer(
        "frames_per_record", 512, "A longer video is split over several records.", 1, **own
    )
    flags.DEFINE_multi_string(
        "leave_out",
        [],
        "Id of a video to take for damaged, if it is not decoded yet; may be given again.",
        **own,
    )
    flags.DEFINE_bool("allow_missing", False, "Build without listed videos not there.", **own)
    flags.DEFINE_integer("max_bad_videos", 0, "Damaged videos that are no failure.", 0, **own)


def define_workers(values: flags.FlagValues) -> None:
    """Defines --workers."""
    flags.DEFINE_integer("workers", _cores(), "Processes that decode.", 1, flag_values=values)


def check(values: flags.FlagValues) -> None:
    """Checks what can be known before anything is read.

    Raises:
        UsageError: a flag is missing, or does not go with another.
    """
    own = REQUIRED.get(values.dataset, ())
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


def planned(values: flags.FlagValues) -> Plan:
    """Lists the videos, says how many, and deals them to shards.

    Args:
        values: checked by `check`.

    Raises:
        UsageError: a share is given for a list that has its own subsets, or a video is to be left
            out that is none of them.
        DataError: the videos or the split files are not as they must be.
    """
    # Here, so that --help does not wait for NumPy.
    from tfrecords_tools.builder.plan import make_plan

    if is_remote(values.videos) or is_remote(values.splits or ""):
        app.load_tensorflow()
    settings = {name: values[name].value for name in _SETTINGS}
    dataset = read_dataset(
        *(values.dataset, values.videos, values.splits, values.split),
        *(settings, values.allow_missing),
    )
    if values.stream == "temporal":
        settings["flow"] = values.flow or "tvl1"
    unknown = set(values.leave_out).difference(video.id for video in dataset.videos)
    if unknown:
        raise UsageError(f"--leave_out={min(unknown)}: no video of {values.videos} has this id")
    plan = make_plan(dataset, values.stream, settings, values.shards)
    announce(dataset)
    return plan


def report(values: flags.FlagValues, manifest: Manifest) -> None:
    """Says what was made.

    Raises:
        DataError: more videos are damaged than the flags allow.
    """
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


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
