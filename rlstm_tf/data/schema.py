"""The record, its index and the manifest: the one place that names keys, types and files.

A directory of shards holds, for every shard of a subset (`train`, `val`, `test`):

    train-00000-of-00004.tfrecord       `tf.train.SequenceExample` messages, plain TFRecord
    train-00000-of-00004.records.npy    one row a record (`record_dtype`), in file order
    train-00000-of-00004.frames.npy     one row a frame (`FRAME`), in file order

and `manifest.json`, written last: where it stands, the shards are whole. A long video is several
consecutive records of one shard that share an id, `first_frame` rising.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SUBSETS = ("train", "val", "test")

# Context features.
ID = "id"  # bytes, UTF-8
LABEL = "label"  # int64, position in the class list
CLASS_NAME = "class_name"  # bytes, UTF-8
FPS = "fps"  # float, average frames per second of the video; 0 = unknown
HEIGHT = "height"  # int64, pixels of the stored frames
WIDTH = "width"  # int64
NUM_FRAMES = "num_frames"  # int64, frames in the whole video
FIRST_FRAME = "first_frame"  # int64, number in the video of this record's first frame
# Feature list.
FRAMES = "frames"  # bytes, one JPEG a frame

# Where a frame's JPEG lies in the .tfrecord file (bytes), and zlib.crc32 of it.
FRAME = np.dtype([("offset", "<u8"), ("size", "<u4"), ("crc32", "<u4")])

# A TFRecord is: length (8 bytes), its checksum (4), the message, its checksum (4).
RECORD_HEAD = 12
RECORD_TAIL = 4

_SHARD_NAME = re.compile(r"(train|val|test)-\d{5}-of-\d{5}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_dtype(id_bytes: int) -> np.dtype:
    """Row of `*.records.npy` for ids of up to `id_bytes` bytes of UTF-8.

    `num_frames` counts the frames of this record alone, `first_row` is the row of its first frame
    in `*.frames.npy`.
    """
    return np.dtype(
        [
            ("id", f"S{id_bytes}"),
            ("label", "<i4"),
            ("first_frame", "<u4"),
            ("num_frames", "<u4"),
            ("first_row", "<u8"),
            ("fps", "<f4"),
            ("height", "<u2"),
            ("width", "<u2"),
        ]
    )


def shard_name(subset: str, index: int, count: int) -> str:
    """Name of shard `index` of `count`, without a suffix: `train-00000-of-00004`."""
    return f"{subset}-{index:05d}-of-{count:05d}"


def join(directory: str, name: str) -> str:
    """Path of `name` in `directory`, which may be remote (`s3://bucket/shards`)."""
    return directory.rstrip("/") + "/" + name


def tfrecord_path(directory: str, shard: str) -> str:
    """The shard itself."""
    return join(directory, shard + ".tfrecord")


def records_path(directory: str, shard: str) -> str:
    """The shard's index of records."""
    return join(directory, shard + ".records.npy")


def frames_path(directory: str, shard: str) -> str:
    """The shard's index of frames."""
    return join(directory, shard + ".frames.npy")


@dataclass(frozen=True)
class Shard:
    """What a shard must hold to be the one that was written.

    Attributes:
        name: without a suffix.
        records, videos, frames: counts; a long video is several records.
        bytes: size of the .tfrecord file.
        sha256, records_sha256, frames_sha256: hexadecimal, of the three files.
    """

    name: str
    records: int
    videos: int
    frames: int
    bytes: int
    sha256: str
    records_sha256: str
    frames_sha256: str


@dataclass(frozen=True)
class Subset:
    """The shards of one subset, in order, and what they hold together."""

    videos: int
    frames: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    """Everything about a directory of shards that is not in the shards.

    Attributes:
        dataset: `ucf101`, `hmdb51`, `folder`, ...
        split: number of the official split; 0 where there is none.
        stream: `spatial` (RGB) or `temporal` (optical flow).
        classes: names; a record's label is the position in it.
        settings: how the frames were made (`short_side`, `jpeg_quality`, ...).
        subsets: by name; only those that are not empty.
        damaged: `id`, `path` and `reason` of each video that could not be decoded.
        missing: `count` of listed videos without a file, and the `first` of their ids.
    """

    dataset: str
    split: int
    stream: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    subsets: dict[str, Subset]
    damaged: tuple[dict[str, str], ...] = ()
    missing: dict[str, Any] = field(default_factory=lambda: {"count": 0, "first": []})

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps({"schema": SCHEMA_VERSION, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = MANIFEST) -> Manifest:
        """Reads what `to_json` wrote.

        Args:
            text: JSON.
            where: named in errors.

        Raises:
            DataError: another schema version, a field missing or of another type, counts that do
                not add up, a shard name that is none of ours.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON: {error}") from None
        values = _typed(values, dict, where)
        version = values.pop("schema", None)
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{where} has schema version {version!r}, this program reads {SCHEMA_VERSION}: "
                "build the shards again"
            )
        values = _known_fields(cls, values, where)
        return cls(
            dataset=_typed(values["dataset"], str, f"{where}: dataset"),
            split=_typed(values["split"], int, f"{where}: split"),
            stream=_typed(values["stream"], str, f"{where}: stream"),
            classes=_strings(values["classes"], f"{where}: classes"),
            settings=_typed(values["settings"], dict, f"{where}: settings"),
            subsets=_subsets(values["subsets"], where),
            damaged=tuple(
                _typed(video, dict, f"{where}: damaged")
                for video in _typed(values["damaged"], list, f"{where}: damaged")
            ),
            missing=_typed(values["missing"], dict, f"{where}: missing"),
        )

    @classmethod
    def load(cls, directory: str) -> Manifest:
        """Reads `manifest.json` of a directory, local or remote.

        Raises:
            DataError: there is none, or `from_json` refuses it.
        """
        path = join(directory, MANIFEST)
        try:
            text = _read(path)
        except OSError as error:
            raise DataError(f"no shards in {directory}: {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 text") from None
        return cls.from_json(text, path)

    def save(self, directory: str) -> None:
        """Writes `manifest.json`: beside it first, then renamed, so that it is never half there."""
        path = join(directory, MANIFEST)
        if "://" in path:
            from tensorflow import io

            with io.gfile.GFile(path + ".partial", "w") as file:
                file.write(self.to_json())
            io.gfile.rename(path + ".partial", path, overwrite=True)
            return
        with open(path + ".partial", "w", encoding="utf-8") as file:
            file.write(self.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".partial", path)


def _read(path: str) -> str:
    if "://" not in path:
        with open(path, encoding="utf-8") as file:
            return file.read()
    from tensorflow import errors, io

    try:
        with io.gfile.GFile(path) as file:
            return file.read()
    except errors.OpError as error:
        raise OSError(0, error.message, path) from None


def _typed(value: Any, kind: type, where: str) -> Any:
    # bool is an int to Python, never one here.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{where} must be {kind.__name__}, found {type(value).__name__}")
    return value


def _known_fields(kind: Any, values: dict[str, Any], where: str) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)}
    if names != set(values):
        found = ", ".join(sorted(names ^ set(values)))
        raise DataError(f"{where} lacks, or does not know, the fields: {found}")
    return values


def _strings(values: Any, where: str) -> tuple[str, ...]:
    strings = tuple(_typed(value, str, where) for value in _typed(values, list, where))
    if not strings or len(set(strings)) != len(strings):
        raise DataError(f"{where} must be names, at least one, each once")
    return strings


def _subsets(values: Any, where: str) -> dict[str, Subset]:
    subsets = {}
    for name, entry in _typed(values, dict, f"{where}: subsets").items():
        here = f"{where}: subset {name!r}"
        if name not in SUBSETS:
            raise DataError(f"{here} is none of {', '.join(SUBSETS)}")
        entry = _known_fields(Subset, _typed(entry, dict, here), here)
        shards = tuple(_shard(shard, here) for shard in _typed(entry["shards"], list, here))
        subset = Subset(
            _typed(entry["videos"], int, here), _typed(entry["frames"], int, here), shards
        )
        if subset.videos != sum(shard.videos for shard in shards) or subset.frames != sum(
            shard.frames for shard in shards
        ):
            raise DataError(f"{here}: videos and frames are not the sums over its shards")
        subsets[name] = subset
    return subsets


def _shard(values: Any, where: str) -> Shard:
    values = _known_fields(Shard, _typed(values, dict, where), where)
    for name in ("records", "videos", "frames", "bytes"):
        if _typed(values[name], int, f"{where}: {name}") < 0:
            raise DataError(f"{where}: {name} must not be negative, found {values[name]}")
    # A manifest from elsewhere must not lead out of its directory.
    if not _SHARD_NAME.fullmatch(_typed(values["name"], str, f"{where}: name")):
        raise DataError(f"{where}: no shard is called {values['name']!r}")
    for name in ("sha256", "records_sha256", "frames_sha256"):
        if not _SHA256.fullmatch(_typed(values[name], str, f"{where}: {name}")):
            raise DataError(f"{where}: {name} must be 64 hexadecimal digits")
    return Shard(**values)
