"""The manifest of a directory of shards: what is in them, with checksums of all files."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from rlstm_tf.choices import STREAMS, SUBSETS
from rlstm_tf.data.schema import MANIFEST, SCHEMA_VERSION, SHARD_NAME, join
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.files import read_text, write_text
from rlstm_tf.storage.json_values import parse_json, require_fields, require_names, require_type

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    if not SHARD_NAME.fullmatch(shard.name):
        raise DataError(f"{where}: {shard.name!r} is not the name of a shard")
    for name in ("sha256", "records_sha256", "frames_sha256", "samples_sha256"):
        if not _SHA256.fullmatch(values[name]):
            raise DataError(f"{where}: {name} must be 64 hexadecimal digits")
    return shard
