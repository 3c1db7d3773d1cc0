"""Flags that build, beam and verify share, and the checks across them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from absl import flags

from rlstm_tf.choices import STREAMS
from rlstm_tf.cli.paths import define_path, define_path_list
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.storage.files import is_directory, is_remote
from tfrecords_tools.datasets.registry import DATASETS, LIST_SETTINGS, read_dataset

if TYPE_CHECKING:
    from rlstm_tf.data.manifest import Manifest
    from tfrecords_tools.builder.plan import Plan

# As in rlstm_tf.data.optical_flow, whose import of OpenCV --help does not wait for.
_SHORTEST_SIDE = 16
# Flags that change the content of the shards, beside the list of videos.
_SETTINGS = ("short_side", "jpeg_quality", "frames_per_record", *LIST_SETTINGS)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of commands that build shards."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum("dataset", None, [*DATASETS], "Data set in --videos.", **own)
    help_text = (
        "Directory with one folder per class; charades: of all files; folder: or a CSV file."
    )
    define_path("videos", None, help_text, **own)
    help_text = "ucf101, hmdb51, jhmdb, charades: directory of the split files."
    define_path("splits", None, help_text, **own)
    flags.DEFINE_integer("split", None, "ucf101, hmdb51, jhmdb: number of the split.", 1, **own)
    help_text = "folder: share of each class for the test set; default 0.2."
    flags.DEFINE_float("test_share", None, help_text, 0, 1, **own)
    help_text = "folder: frames per second of folders of pictures."
    flags.DEFINE_float("fps", None, help_text, 0.001, 1000, **own)
    help_text = (
        "folder: regular expression for the group of a video in its path below --videos: its first "
        "group, or the whole match. A group is never split."
    )
    flags.DEFINE_string("group_by", None, help_text, **own)
    help_text = "Share of the training videos held out as subset val."
    flags.DEFINE_float("val_share", 0.0, help_text, 0, 1, **own)
    flags.DEFINE_integer("val_seed", 0, "Selects other videos for val.", **own)
    flags.DEFINE_enum("stream", "spatial", STREAMS, "RGB frames, or optical flow.", **own)
    help_text = "temporal: flow method; default tvl1, as in the paper. tvl1_half: at half the size."
    flags.DEFINE_enum("flow", None, ["tvl1", "tvl1_half", "dis"], help_text, **own)
    help_text = "Finished shards of another split to copy the images of the same videos from."
    define_path_list("reuse", [], help_text, **own)
    help_text = "Directory of the shards: new, empty or of an interrupted build."
    define_path("output", None, help_text, **own)
    flags.DEFINE_integer("shards", 8, "Shards of the training set.", 1, 99_999, **own)
    flags.DEFINE_integer("short_side", 256, "Short side of a frame, pixels.", 8, 8192, **own)
    flags.DEFINE_integer("jpeg_quality", 95, "JPEG quality of the stored frames.", 1, 100, **own)
    help_text = "Maximum; a longer video is split over several records."
    flags.DEFINE_integer("frames_per_record", 512, help_text, 1, **own)
    help_text = "Id of a video to treat as damaged, unless already decoded; repeatable."
    flags.DEFINE_multi_string("leave_out", [], help_text, **own)
    flags.DEFINE_bool("allow_missing", False, "Build without missing listed videos.", **own)
    flags.DEFINE_integer("max_bad_videos", 0, "Damaged videos to tolerate.", 0, **own)
    help_text = "Share of its frames, 0..1, that must decode to keep a damaged video; default all."
    flags.DEFINE_float("keep_partial", None, help_text, 0, 1, **own)
    help_text = "Video stream to read, from 0; default the one marked as default, else the largest."
    flags.DEFINE_integer("video_stream", None, help_text, 0, **own)


def define_workers_flag(values: flags.FlagValues) -> None:
    """Defines --workers."""
    flags.DEFINE_integer("workers", _num_cores(), "Decoding processes.", 1, flag_values=values)


def check_flags(values: flags.FlagValues) -> None:
    """Checks the flags before any file is read.

    Raises:
        UsageError: a flag is missing, or does not go with another.
    """
    required, optional = DATASETS[values.dataset][1:] if values.dataset else ((), ())
    for name in ("dataset", "videos", "output", *required):
        if values[name].value is None:
            raise UsageError(f"--{name} is required: {values[name].help}")
    for name in ("splits", "split", "test_share", "group_by"):
        if values[name].value is not None and name not in required + optional:
            raise UsageError(f"--{name} does not go with --dataset={values.dataset}")
    if values.fps is not None and values.dataset != "folder":
        raise UsageError("--fps goes with --dataset=folder")
    if values.reuse and "split" not in required:
        raise UsageError("--reuse goes with ucf101, hmdb51 and jhmdb, which have several splits")
    if values.flow and values.stream == "spatial":
        raise UsageError("--flow does nothing without --stream=temporal")
    if values.stream == "temporal" and values.short_side < _SHORTEST_SIDE:
        raise UsageError(
            f"--short_side={values.short_side}: --stream=temporal needs at least {_SHORTEST_SIDE}"
        )
    if values.dataset == "folder":
        _check_apart(values.videos, values.output)
    if values.val_seed and not values.val_share:
        raise UsageError("--val_seed does nothing without --val_share")


def plan_build(values: flags.FlagValues) -> Plan:
    """Lists the videos, and assigns them to shards.

    Args:
        values: passed `check_flags`.

    Raises:
        UsageError: a share is given for a list that has its own subsets, or --leave_out names no
            listed video.
        DataError: the videos or the split files are missing or invalid.
    """
    # Here, so that --help does not wait for NumPy.
    from tfrecords_tools.builder.plan import make_plan

    settings = {name: values[name].value for name in _SETTINGS}
    if values.group_by is not None:
        settings["group_by"] = values.group_by
    dataset = read_dataset(
        *(values.dataset, values.videos, values.splits, values.split),
        *(settings, values.allow_missing),
    )
    timed = [v for v in dataset.videos if any(action.end is not None for action in v.actions)]
    if values.fps is None and (folders := [v for v in timed if is_directory(v.path)]):
        raise UsageError(
            f"--fps is required: {folders[0].path} is a folder of pictures, "
            "and its actions are given in seconds"
        )
    if values.fps is not None:
        if not any(is_directory(video.path) for video in dataset.videos):
            raise UsageError(f"--fps does nothing: {values.videos} lists no folder of pictures")
        settings["fps"] = values.fps
    if values.stream == "temporal":
        settings["flow"] = values.flow or "tvl1"
    # Only where they are given, so that a build which an earlier version began is resumed.
    for name in ("keep_partial", "video_stream"):
        if values[name].value is not None:
            settings[name] = values[name].value
    unknown = set(values.leave_out).difference(video.id for video in dataset.videos)
    if unknown:
        raise UsageError(f"--leave_out={min(unknown)}: no video of {values.videos} has this id")
    return make_plan(dataset, values.stream, settings, values.shards)


def print_result(values: flags.FlagValues, manifest: Manifest) -> None:
    """Prints the counts of a finished build, and its damaged videos.

    Raises:
        DataError: more videos are damaged than --max_bad_videos.
    """
    images = "frames" if manifest.stream == "spatial" else "fields"
    for name, subset in manifest.subsets.items():
        counts = f"{subset.videos} videos, {subset.frames} {images}, {subset.samples} samples"
        say(f"{name}: {counts}, {len(subset.shards)} shards")
    for note, count in manifest.notes.items():
        say(f"{note.replace('_', ' ')}: {count}")
    if manifest.dataset == "folder" and manifest.notes.get("labels_without_sample"):
        say("warning: an interval after the end of its video has no sample; start is in seconds")
    for line in describe_partial(manifest):
        say(line, error=True)
    for video in manifest.damaged:
        say("damaged: {id}: {reason}".format(**video), error=True)
    if len(manifest.damaged) > values.max_bad_videos:
        count = len(manifest.damaged)
        raise DataError(
            f"damaged videos left out of {values.output}: {count}; --max_bad_videos allows "
            f"{values.max_bad_videos}, and --max_bad_videos={count} accepts the shards without them"
        )


def describe_partial(manifest: Manifest) -> list[str]:
    """Returns a line for each video of which only a part is in the shards."""
    text = "partial: {id}: {share:.1%} of its frames decode: {reason}"
    return [text.format(**video) for video in manifest.partial]


def _check_apart(videos: str, output: str) -> None:
    """Raises UsageError if one contains the other: the next build would list the shards."""
    places = [
        path.rstrip("/") if is_remote(path) else os.path.realpath(path) for path in (videos, output)
    ]
    for inner, outer in (places, places[::-1]):
        if f"{inner}/".startswith(f"{outer.rstrip('/')}/"):
            raise UsageError(
                f"--videos={videos} and --output={output}: neither may be inside the other"
            )


def _num_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
