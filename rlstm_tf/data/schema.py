"""Format of the shards: the keys and types of records, indexes and manifest, and file names.

A directory of shards holds, for every shard of a subset (`train`, `val`, `test`):

    train-00000-of-00004.tfrecord       uncompressed TFRecords of `tf.train.SequenceExample`
    train-00000-of-00004.records.npy    one row per record (`record_dtype`), in file order
    train-00000-of-00004.frames.npy     one row per frame (`FRAME`), in file order
    train-00000-of-00004.samples.npy    one row per labeled interval (`SAMPLE`), in file order

`sources.jsonl`, the record of the video files, and `manifest.json`, which is written last: if it
exists, the shards are complete. A long video is split into consecutive records of one shard, with
equal ids and ascending `first_frame`.

A training sample is an interval of a video; with one label per video, it is the whole video. In the
temporal stream, "frame" means a flow field, F - 1 for F frames of video. Its JPEG is gray,
2 height x width, x above y (`rlstm_tf.data.flow`).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rlstm_tf.choices import STREAMS, SUBSETS
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.files import read_text, write_text
from rlstm_tf.storage.json_values import parse_json, require_fields, require_names, require_type

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
# The video files that the shards were built from (`tfrecords_tools.builder.sources`).
SOURCES = "sources.jsonl"

# Context features.
ID = "id"  # bytes, UTF-8
LABEL = "label"  # int64 each, positions in the class list
CLASS_NAME = "class_name"  # bytes each, UTF-8
LABEL_FIRST_FRAME = "label_first_frame"  # int64 each, first frame in the video with the label
LABEL_NUM_FRAMES = "label_num_frames"  # int64 each; 0: the label has no training sample
FPS = "fps"  # float, average frames per second of the video; 0: unknown
HEIGHT = "height"  # int64, pixels of a frame, or of a flow field
WIDTH = "width"  # int64
NUM_FRAMES = "num_frames"  # int64, frames in the whole video
FIRST_FRAME = "first_frame"  # int64, number in the video of this record's first frame
# Feature list.
FRAMES = "frames"  # bytes, one JPEG per frame

# Offset and size of a frame's JPEG in the .tfrecord file (bytes), and its zlib.crc32.
FRAME = np.dtype([("offset", "<u8"), ("size", "<u4"), ("crc32", "<u4")])
# A video (its number in the shard), a label of it, and the frames with the label; 0: no sample.
SAMPLE = np.dtype(
    [("video", "<u4"), ("label", "<i4"), ("first_frame", "<u4"), ("num_frames", "<u4")]
)

# A TFRecord is: length (8 bytes), its checksum (4), the message, its checksum (4).
RECORD_HEAD = 12
RECORD_TAIL = 4

_SHARD_NAME = re.compile(r"(train|val|test)-\d{5}-of-\d{5}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_dtype(id_bytes: int) -> np.dtype:
    """Returns the row type of `*.records.npy`, for ids of up to `id_bytes` bytes of UTF-8.

    `num_frames` counts the frames of the record; `first_row` is the row of its first frame in
    `*.frames.npy`.
    """
    return np.dtype(
        [
            ("id", f"S{id_bytes}"),
            ("first_frame", "<u4"),
            ("num_frames", "<u4"),
            ("first_row", "<u8"),
            ("fps", "<f4"),
            ("height", "<u2"),
            ("width", "<u2"),
        ]
    )


def shard_name(subset: str, index: int, count: int) -> str:
    """Returns the name of shard `index` of `count`, without suffix: `train-00000-of-00004`."""
    return f"{subset}-{index:05d}-of-{count:05d}"


def join(directory: str, name: str) -> str:
    """Returns the path of `name` in `directory`, which may be remote (`s3://bucket/shards`)."""
    return directory.rstrip("/") + "/" + name


def tfrecord_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's records."""
    return join(directory, shard + ".tfrecord")


def records_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of records."""
    return join(directory, shard + ".records.npy")


def frames_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of frames."""
    return join(directory, shard + ".frames.npy")


def samples_path(directory: str, shard: str) -> str:
    """Returns the path of a shard's index of samples."""
    return join(directory, shard + ".samples.npy")


def shard_paths(directory: str, shard: str) -> tuple[str, str, str, str]:
    """Returns the paths of a shard and its three indexes."""
    return (
        tfrecord_path(directory, shard),
        records_path(directory, shard),
        frames_path(directory, shard),
        samples_path(directory, shard),
    )


def shard_of(file_name: str) -> str | None:
    """Returns the name of the shard that a file belongs to; None for any other file."""
    name, _, _ = file_name.partition(".")
    return (
        name
        if _SHARD_NAME.fullmatch(name) and join("", file_name) in shard_paths("", name)
        else None
    )


@dataclass(frozen=True)
class Shard:
    """A shard's entry in the manifest.

    Attributes:
        name: name without suffix.
        records, videos, frames: counts; a long video is several records.
        samples: number of labeled intervals that have frames.
        bytes: size of the .tfrecord file.
        sha256, records_sha256, frames_sha256, samples_sha256: hexadecimal checksums of the files.
    """

    name: str
    records: int
    videos: int
    frames: int
    samples: int
    bytes: int
    sha256: str
    records_sha256: str
    frames_sha256: str
    samples_sha256: str


@dataclass(frozen=True)
class Subset:
    """The shards of one subset, in order, and their total counts."""

    videos: int
    frames: int
    samples: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """Contents of `manifest.json`, which describes a directory of shards.

    Attributes:
        dataset: `ucf101`, `hmdb51`, `folder`, ...
        split: number of the official split; 0: none.
        stream: `spatial` (RGB) or `temporal` (optical flow).
        classes: class names; a label is the position of its class in this list.
        settings: settings of the frames (`short_side`, `jpeg_quality`, ...).
        subsets: subsets that are not empty, by name.
        damaged: `id`, `path` and `reason` of each video that could not be decoded.
        missing: `count` of listed videos without a file, and the `first` of their ids.
        multi_label: a video may have any number of labels, including none.
        notes: counts of the things that were clipped or left out.
        sources_sha256: hexadecimal checksum of `sources.jsonl`; empty if there is none.
        partial: `id`, `path`, `reason` and `share` (0..1) of each video of which only this share of
            the frames decodes.
    """

    dataset: str
    split: int
    stream: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    subsets: dict[str, Subset]
    damaged: tuple[dict[str, str], ...] = ()
    missing: dict[str, Any] = field(default_factory=lambda: {"count": 0, "first": []})
    multi_label: bool = False
    notes: dict[str, int] = field(default_factory=dict)
    sources_sha256: str = ""
    partial: tuple[dict[str, Any], ...] = ()

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards of all subsets, in order."""
        return tuple(shard for subset in self.subsets.values() for shard in subset.shards)

    def to_json(self) -> str:
        """Returns the text of `manifest.json`."""
        values = {"schema": SCHEMA_VERSION, **asdict(self)}
        for name in ("sources_sha256", "partial"):
            # As version 0.1.0 wrote it: runs know their shards by the checksum.
            if not values[name]:
                del values[name]
        values = with_checksum(values)
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST) -> Manifest:
        """Parses the text of a manifest; older ones have no `sha256` of their values.

        Args:
            text: JSON text from `to_json`.
            where: file name, for errors.

        Raises:
            DataError: the schema version is another one, values were changed, a field is missing or
                has the wrong type, counts do not add up, or a shard name is invalid.
        """
        values = parse_json(text, where)
        version = values.get("schema")
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{where} has schema version {version!r}, this program reads {SCHEMA_VERSION}: "
                "build the shards again"
            )
        if "sha256" in values:
            values = verify_checksum(values, where)
        del values["schema"]
        # Version 0.1.0 did not record them.
        values = {"sources_sha256": "", "partial": [], **values}
        values = require_fields(cls, values, where)
        if values["stream"] not in STREAMS:
            raise DataError(
                f"{where}: stream must be one of {', '.join(STREAMS)}, found {values['stream']!r}"
            )
        for name, count in values["notes"].items():
            require_type(count, int, f"{where}: notes: {name}")
        for video in values["damaged"]:
            require_type(video, dict, f"{where}: damaged")
            for name in ("id", "path", "reason"):
                require_type(video.get(name), str, f"{where}: damaged: {name}")
        for video in values["partial"]:
            kinds = {"id": str, "path": str, "reason": str, "share": float}
            for name, kind in kinds.items():
                entry = require_type(video, dict, f"{where}: partial")
                require_type(entry.get(name), kind, f"{where}: partial: {name}")
        missing = values["missing"]
        require_type(missing.get("count"), int, f"{where}: missing: count")
        require_type(missing.get("first"), list, f"{where}: missing: first")
        values["classes"] = require_names(values["classes"], f"{where}: classes")
        values["subsets"] = {
            name: _subset(name, entry, where) for name, entry in values["subsets"].items()
        }
        lists = {name: tuple(values[name]) for name in ("damaged", "partial")}
        return cls(**{**values, **lists})

    @classmethod
    def load(cls, directory: str) -> Manifest:
        """Reads `manifest.json` of a directory, local or remote.

        Raises:
            DataError: the manifest is missing, cannot be read, or is invalid.
        """
        path = join(directory, MANIFEST)
        try:
            text = read_text(path)
        except OSError as error:
            raise DataError(f"no shards in {directory}: {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 text") from None
        return cls.from_json(text, path)

    def save(self, directory: str) -> None:
        """Writes `manifest.json` atomically."""
        write_text(join(directory, MANIFEST), self.to_json())


def _subset(name: str, values: Any, where: str) -> Subset:
    where = f"{where}: subset {name!r}"
    if name not in SUBSETS:
        raise DataError(f"{where} is none of {', '.join(SUBSETS)}")
    values = require_fields(Subset, values, where)
    shards = tuple(_shard(shard, where) for shard in values["shards"])
    for count in ("videos", "frames", "samples"):
        if values[count] != sum(getattr(shard, count) for shard in shards):
            raise DataError(f"{where}: {count} are not the sum over its shards")
    if not values["videos"]:
        raise DataError(f"{where} has no videos")
    return Subset(**{**values, "shards": shards})


def _shard(values: Any, where: str) -> Shard:
    shard = Shard(**require_fields(Shard, values, where))
    for name in ("records", "videos", "frames", "samples", "bytes"):
        if values[name] < 0:
            raise DataError(f"{where}: {name} must not be negative, found {values[name]}")
    # A manifest from elsewhere must not name files outside its directory.
    if not _SHARD_NAME.fullmatch(shard.name):
        raise DataError(f"{where}: {shard.name!r} is not the name of a shard")
    for name in ("sha256", "records_sha256", "frames_sha256", "samples_sha256"):
        if not _SHA256.fullmatch(values[name]):
            raise DataError(f"{where}: {name} must be 64 hexadecimal digits")
    return shard
