"""Random access to the frames in a directory of shards, with checks.

`Shards.open` checks everything but the frames against the manifest; each frame is checked against
its checksum when it is read.
"""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.data.descriptors import open_error_reason, raise_open_file_limit
from rlstm_tf.data.manifest import Manifest, Shard
from rlstm_tf.data.sample_order import SampleClasses
from rlstm_tf.data.shard_index import find_record_problems, find_sample_problems, load_index
from rlstm_tf.errors import DataError
from rlstm_tf.storage.arrays import map_array
from rlstm_tf.storage.files import File, is_remote, open_file


@dataclass(frozen=True)
class _Shard:
    name: str
    file: File
    frames: np.ndarray  # schema.FRAME
    samples: np.ndarray  # schema.SAMPLE


class Shards:
    """One subset of a directory of shards: its V videos and their frames.

    Attributes:
        manifest: manifest of the directory.
        subset: `train`, `val` or `test`.
        classes: class names; a label is the position of its class in this list.
        ids: video ids, in the order of the shards.
        labels: int32 [V]; or bool [V, classes] where a video may have any number of labels.
        samples: one row per labeled interval to train on, in the order of the shards, with columns
            `video` (0 ... V - 1), `label`, `first_frame` and `num_frames`.
        num_frames: int64 [V].
        fps: float32 [V], frames per second; 0: unknown.
        heights, widths: int64 [V], pixels of a frame or flow field (whose JPEG is twice as high).
        failure: first exception raised in a TensorFlow thread; `pipeline.iterate` raises it.
    """

    def __init__(self, manifest: Manifest, subset: str, shards: list[_Shard], records: np.ndarray):
        """Use `Shards.open`."""
        self.manifest = manifest
        self.subset = subset
        self.failure: Exception | None = None
        self.classes = list(manifest.classes)
        first = np.flatnonzero(records["first_frame"] == 0)
        videos = records[first]
        self.ids = [video.decode() for video in videos["id"].tolist()]
        self.num_frames = np.add.reduceat(records["num_frames"], first, dtype=np.int64)
        self.fps = videos["fps"].copy()
        self.heights = videos["height"].astype(np.int64)
        self.widths = videos["width"].astype(np.int64)
        self._shards = shards
        counts = [shard.videos for shard in manifest.subsets[subset].shards]
        self._shard_of_video = np.repeat(np.arange(len(shards)), counts)
        self._first_row = videos["first_row"].astype(np.int64)
        rows = _join_samples([shard.samples for shard in shards], counts)
        if len(set(self.ids)) != len(self.ids):
            twice = Counter(self.ids).most_common(1)[0][0]
            raise DataError(f"video {twice!r} occurs twice in subset {subset!r}")
        self.samples = rows[rows["num_frames"] > 0]
        self.labels = rows["label"].copy()
        if manifest.multi_label:
            self.labels = np.zeros((len(self.ids), len(self.classes)), bool)
            self.labels[rows["video"], rows["label"]] = True

    @classmethod
    def open(cls, directory: str, subset: str) -> Shards:
        """Opens a subset and checks everything but the frames.

        Args:
            directory: local or remote (`s3://...`) directory.
            subset: `train`, `val` or `test`.

        Raises:
            DataError: the directory or subset does not exist, the schema version is another one, a
                file contradicts the manifest or itself, or an id occurs twice.
        """
        manifest = Manifest.load(directory)
        if subset not in manifest.subsets:
            raise DataError(
                f"{directory} has no subset {subset!r}; it has {', '.join(manifest.subsets)}"
            )
        shards, records = [], []
        if not is_remote(directory):
            raise_open_file_limit(len(manifest.subsets[subset].shards))
        for entry in manifest.subsets[subset].shards:
            shard, rows = _open_shard(directory, entry)
            problems = find_record_problems(entry, rows, shard.frames) or find_sample_problems(
                entry, manifest, rows, shard.samples
            )
            if problems:
                raise DataError(f"{directory}: {problems[0]}: build the shards again")
            shards.append(shard)
            records.append(rows)
        try:
            return cls(manifest, subset, shards, _join_records(records))
        except DataError as error:
            raise DataError(f"{directory}: {error}") from None

    @functools.cached_property
    def sample_classes(self) -> SampleClasses:
        """The samples of each class."""
        return SampleClasses(self.samples["label"])

    def __len__(self) -> int:
        """Number of videos V."""
        return len(self.ids)

    def name_of(self, video: int, frame: int) -> str:
        """Returns a frame's name for error messages: shard, video and frame."""
        shard = self._shards[self._shard_of_video[video]]
        return f"{shard.name}: video {self.ids[video]!r}, frame {frame}"

    def read_frames(self, video: int, frames: Sequence[int]) -> list[bytes]:
        """Reads frames of a video and checks their checksums. Thread-safe.

        Args:
            video: position of the video, 0 ... V - 1.
            frames: frame numbers, 0 ... num_frames[video] - 1. Consecutive ones take one read.

        Returns:
            The content of each frame's JPEG file.

        Raises:
            DataError: a frame cannot be read, or its bytes are missing or have changed.
            IndexError: a frame does not exist.
        """
        if len(frames) and not 0 <= min(frames) <= max(frames) < self.num_frames[video]:
            raise IndexError(
                f"video {self.ids[video]!r} has {self.num_frames[video]} frames. "
                f"Received: frames={list(frames)}"
            )
        shard = self._shards[self._shard_of_video[video]]
        first_row = int(self._first_row[video])
        rows = shard.frames[[first_row + frame for frame in frames]].tolist()
        jpegs: list[bytes] = []
        end = 0
        while end < len(rows):
            start, end = end, end + 1
            while end < len(rows) and frames[end] == frames[end - 1] + 1:
                end += 1
            begin = rows[start][0]
            try:
                data = shard.file.read(begin, rows[end - 1][0] + rows[end - 1][1] - begin)
            except OSError as error:
                name = self.name_of(video, frames[start])
                raise DataError(f"{name}: cannot be read: {error.strerror}") from None
            for offset, size, checksum in rows[start:end]:
                jpeg = data[offset - begin : offset - begin + size]
                if zlib.crc32(jpeg) != checksum or len(jpeg) != size:
                    name = self.name_of(video, frames[len(jpegs)])
                    raise DataError(f"{name}: {_damage(jpeg, size, checksum)}")
                jpegs.append(jpeg)
        return jpegs


def _open_shard(directory: str, entry: Shard) -> tuple[_Shard, np.ndarray]:
    """Returns a shard and its records, after checking its files' size or sha256."""
    path = schema.tfrecord_path(directory, entry.name)
    try:
        file = open_file(path)
    except OSError as error:
        raise DataError(f"{path}: {open_error_reason(error)}") from None
    if file.size != entry.bytes:
        raise DataError(f"{path} has {file.size} bytes, {schema.MANIFEST} says {entry.bytes}")
    records = load_index(schema.records_path(directory, entry.name), entry.records_sha256)
    frames_path = schema.frames_path(directory, entry.name)
    frames = load_index(frames_path, entry.frames_sha256)
    if not is_remote(frames_path):
        frames = _map_index(frames_path)
    samples = load_index(schema.samples_path(directory, entry.name), entry.samples_sha256)
    return _Shard(entry.name, file, frames, samples), records


def _map_index(path: str) -> np.ndarray:
    try:
        return map_array(path)
    except OSError as error:
        raise DataError(f"{path}: {open_error_reason(error)}") from None
    except ValueError as error:  # it has changed since it was loaded
        raise DataError(f"{path} is not an index: {error}") from None


def _join_samples(samples: list[np.ndarray], num_videos: list[int]) -> np.ndarray:
    """Joins the rows of all shards, and counts `video` through all of them."""
    names = [("video", np.int64), ("label", np.int32), ("first_frame", np.int64)]
    rows = np.concatenate(samples).astype([*names, ("num_frames", np.int64)])
    before = np.cumsum([0, *num_videos[:-1]])
    rows["video"] += np.repeat(before, [len(own) for own in samples])
    return rows


def _damage(jpeg: bytes, size: int, checksum: int) -> str:
    if len(jpeg) != size:
        return f"{len(jpeg)} of {size} bytes left, the shard was cut short"
    found = zlib.crc32(jpeg)
    return f"checksum {found:08x}, {checksum:08x} when it was written: the shard is damaged"


def _join_records(records: list[np.ndarray]) -> np.ndarray:
    """Joins the rows of all shards; the ids get the width of the widest."""
    width = max(rows.dtype["id"].itemsize for rows in records)
    return np.concatenate([rows.astype(schema.record_dtype(width)) for rows in records])
