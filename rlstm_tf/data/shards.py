"""Reads single frames of a directory of shards by position, and checks what it reads.

`Shards.open` compares the directory with its manifest, all but the frames themselves; every frame
is compared with its checksum when it is read. What does not agree is refused with its name: a
shard that lost bytes never passes for a shorter one.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.data.descriptors import open_error_reason, raise_open_file_limit
from rlstm_tf.data.schema import Manifest
from rlstm_tf.data.shard_index import find_record_problems, find_sample_problems, load_index
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import File, is_remote, open_file


@dataclass(frozen=True)
class _Shard:
    name: str
    file: File
    frames: np.ndarray  # schema.FRAME
    samples: np.ndarray  # schema.SAMPLE


class Shards:
    """One subset of a directory of shards: which videos there are, and their frames.

    Attributes:
        manifest: of the whole directory.
        subset: `train`, `val` or `test`.
        classes: class names; a label is the position in it.
        ids: of the V videos, in the order of the shards.
        labels: int32 [V]; where a video may have any number of labels, bool [V, classes].
        samples: what to train on, one row a labelled interval with frames, in the order of the
            shards: `video` 0 ... V - 1, `label`, and its frames `first_frame`, `num_frames`.
        num_frames: int64 [V].
        fps: float32 [V], frames per second; 0 = unknown.
        heights, widths: int64 [V], pixels; of a flow field in the temporal stream, whose JPEG is
            twice as high.
        failure: an exception in a thread that TensorFlow hides from the caller; `pipeline.iterate`
            raises it.
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
        rows = _of_subset([shard.samples for shard in shards], counts)
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
            directory: local, or remote (`s3://...`, whatever `tf.io.gfile` reads).
            subset: `train`, `val` or `test`.

        Raises:
            DataError: no such directory or subset, another schema version, a shard of another size
                or an index of another sha256 than the manifest's, an index that contradicts itself,
                a label that is no class, an id that occurs twice.
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
            return cls(manifest, subset, shards, _joined(records))
        except DataError as error:
            raise DataError(f"{directory}: {error}") from None

    def __len__(self) -> int:
        """Number of videos V."""
        return len(self.ids)

    def name_of(self, video: int, frame: int) -> str:
        """A frame as error messages name it: shard, video and frame."""
        shard = self._shards[self._shard_of_video[video]]
        return f"{shard.name}: video {self.ids[video]!r}, frame {frame}"

    def read_frames(self, video: int, frames: Sequence[int]) -> list[bytes]:
        """Reads frames of a video, each compared with its checksum. Safe from any thread.

        Args:
            video: 0 ... V - 1.
            frames: numbers from 0 to num_frames[video] - 1. Runs of consecutive ones cost one read.

        Returns:
            The JPEG file of each frame.

        Raises:
            DataError: bytes are missing or not the ones that were written; names the frame.
            IndexError: no such frame.
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
                    raise DataError(f"{name}: {_what_is_wrong(jpeg, size, checksum)}")
                jpegs.append(jpeg)
        return jpegs


def _open_shard(directory: str, entry: schema.Shard) -> tuple[_Shard, np.ndarray]:
    """The shard and its rows of records; its files have the size or sha256 of the manifest."""
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
        frames = _mapped(frames_path)
    samples = load_index(schema.samples_path(directory, entry.name), entry.samples_sha256)
    return _Shard(entry.name, file, frames, samples), records


def _mapped(path: str) -> np.ndarray:
    try:
        # A map, so that the processes of one machine share the memory; as a plain array, which
        # picks rows five times faster than np.memmap.
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except OSError as error:
        raise DataError(f"{path}: {open_error_reason(error)}") from None


def _of_subset(samples: list[np.ndarray], videos: list[int]) -> np.ndarray:
    """Rows of all shards, `video` counted over the shards of `videos` videos each."""
    names = [("video", np.int64), ("label", np.int32), ("first_frame", np.int64)]
    rows = np.concatenate(samples).astype([*names, ("num_frames", np.int64)])
    before = np.cumsum([0, *videos[:-1]])
    rows["video"] += np.repeat(before, [len(own) for own in samples])
    return rows


def _what_is_wrong(jpeg: bytes, size: int, checksum: int) -> str:
    if len(jpeg) != size:
        return f"{len(jpeg)} of {size} bytes left, the shard was cut short"
    found = zlib.crc32(jpeg)
    return f"checksum {found:08x}, {checksum:08x} when it was written: the shard is damaged"


def _joined(records: list[np.ndarray]) -> np.ndarray:
    """Rows of all shards; the ids are as wide as the widest."""
    width = max(rows.dtype["id"].itemsize for rows in records)
    return np.concatenate([rows.astype(schema.record_dtype(width)) for rows in records])
