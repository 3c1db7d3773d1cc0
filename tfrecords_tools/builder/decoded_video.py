"""Decodes one video into a file of JPEG frames, which wait there for their shard.

In the temporal stream, optical flow fields take the place of frames. Worker processes run this;
memory does not grow with the length of a video. The files are

    NUMBER.jpegs    the frames, concatenated
    NUMBER.json     their sizes and checksums, and the digest of the video file; written last, so
                    that it marks completion

or NUMBER.damaged, the reason why the video cannot be decoded. The JSON files carry a checksum.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from rlstm_tf.data.optical_flow import compute_flow
from rlstm_tf.data.picture_reader import PictureReader, open_video
from rlstm_tf.data.video import (
    LONGEST_SIDE,
    DamagedVideoError,
    VideoReader,
    encode_jpeg,
    require_readable,
)
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import atomic_file, write_atomic, writing
from rlstm_tf.storage.checksums import FileDigest, verify_checksum, with_checksum
from rlstm_tf.storage.json_values import parse_json, require_fields
from tfrecords_tools.builder.reuse import StoredVideo, read_stored
from tfrecords_tools.datasets.source_files import digest_source

_JPEGS = ".jpegs"
_INDEX = ".json"
_DAMAGED = ".damaged"
# Fields of `DecodedVideo` where they were not recorded.
_UNKNOWN: dict[str, Any] = {"times": [], "share": 1.0, "damage": "", "streams": ""}


@dataclass(frozen=True)
class DecodeTask:
    """A video to decode.

    Attributes:
        target: path of the decoded video, without a suffix.
        video: path of the video file, or of the folder of its pictures.
        short_side: pixels.
        jpeg_quality: 1..100.
        flow: a key of `optical_flow.METHODS`, for flow fields in place of frames.
        timed: its actions are given in seconds, which requires the times of its frames.
        stored: finished shards that hold its images, to be copied instead of decoded.
        fps: frames per second of a folder of pictures; 0: unknown.
        video_stream: number of the video stream, from 0; None: the reader's choice.
        keep_partial: share of its frames that must decode; None: all.
    """

    target: str
    video: str
    short_side: int
    jpeg_quality: int
    flow: str | None = None
    timed: bool = False
    stored: StoredVideo | None = None
    fps: float = 0.0
    video_stream: int | None = None
    keep_partial: float | None = None


@dataclass(frozen=True)
class DecodedVideo:
    """A video's frames on disk.

    Attributes:
        path: without a suffix.
        fps: frames per second, 0 if unknown.
        height, width: pixels of a frame, or of a flow field.
        sizes: bytes of each JPEG.
        checksums: zlib.crc32 of each JPEG.
        source: digest of the video file; None if unknown.
        times: start of each frame, and the end of the last one, seconds from the first; empty
            unless the task was `timed`.
        share: share of its frames that decode, 0..1.
        damage: why the others do not; empty for an intact video.
        streams: which of several video streams was chosen; empty if there was no choice.
    """

    path: str
    fps: float
    height: int
    width: int
    sizes: list[int]
    checksums: list[int]
    source: FileDigest | None
    times: list[float]
    share: float
    damage: str
    streams: str

    def read_jpegs(self) -> Iterator[bytes]:
        """Yields the JPEG files in order; raises DataError if the file was changed."""
        try:
            with open(self.path + _JPEGS, "rb") as file:
                for size, crc32 in zip(self.sizes, self.checksums):
                    jpeg = file.read(size)
                    if zlib.crc32(jpeg) != crc32:
                        raise _damaged_file(self.path + _JPEGS, self.path + _INDEX)
                    yield jpeg
        except OSError as error:
            raise _read_error(error, self.path + _JPEGS, self.path + _INDEX) from None


def decode(task: DecodeTask) -> str | None:
    """Decodes a video.

    Returns:
        None, or the reason why the video is damaged.

    Raises:
        DataError: the video cannot be read, or its frames cannot be written.
    """
    # The other processes use the other cores.
    cv2.setNumThreads(1)
    reason = _try_to_decode(replace(task, keep_partial=None))
    if reason is not None:
        # A failing file system looks like damage to FFmpeg. Damage that is found again, right after
        # the file was read to its end, is in the file.
        require_readable(task.video)
        reason = _try_to_decode(task)
    if reason is not None:
        mark_damaged(task.target, reason, digest_source(task.video))
    return reason


def _try_to_decode(task: DecodeTask) -> str | None:
    path = task.target + _JPEGS
    sizes, checksums = array("I"), array("I")
    try:
        with writing(path):
            with _open_images(task) as images, atomic_file(path, unique=True) as file:
                for jpeg in images.jpegs:
                    file.write(jpeg)
                    sizes.append(len(jpeg))
                    checksums.append(zlib.crc32(jpeg))
                facts = images.facts()
            name = os.path.basename(task.target)
            lists = {"sizes": sizes.tolist(), "checksums": checksums.tolist()}
            source = task.stored.source if task.stored else digest_source(task.video)
            decoded = DecodedVideo(**{"path": name, "source": source, **lists, **facts})
            _write_json(task.target + _INDEX, asdict(decoded))
    except DamagedVideoError as error:
        return str(error)
    except MemoryError:
        raise DataError(f"no memory to decode {task.video}") from None
    return None


class _Images(NamedTuple):
    """Images of a video.

    Attributes:
        jpegs: the JPEG files, in order.
        facts: once all are read, returns the other fields of `DecodedVideo`.
    """

    jpegs: Iterator[bytes]
    facts: Callable[[], dict[str, Any]]


@contextlib.contextmanager
def _open_images(task: DecodeTask) -> Iterator[_Images]:
    if task.stored:
        fps, height, width, jpegs = read_stored(task.stored)
        stored = {"fps": fps, "height": height, "width": width, **_UNKNOWN}
        stored |= {"share": task.stored.share, "damage": task.stored.damage}
        yield _Images(jpegs, lambda: stored)
        return
    how = task.fps, task.video_stream, task.keep_partial
    with open_video(task.video, task.short_side, *how) as reader:
        images = _read_images(reader, task)
        jpegs = (encode_jpeg(image, task.jpeg_quality) for image in images)
        yield _Images(jpegs, lambda: _read_facts(reader, task.timed))


def _read_facts(reader: VideoReader | PictureReader, timed: bool) -> dict[str, Any]:
    times = []
    if timed:
        starts, end = reader.frame_times()
        times = [*starts.tolist(), end]
    return {
        **{"fps": reader.fps, "height": reader.height, "width": reader.width, "times": times},
        **{"share": reader.share, "damage": reader.damage or "", "streams": reader.streams},
    }


def _read_images(reader: VideoReader | PictureReader, task: DecodeTask) -> Iterator[np.ndarray]:
    if task.flow is None:
        yield from reader
        return
    if 2 * reader.height > LONGEST_SIDE:
        raise DamagedVideoError(f"fields of {reader.width}x{reader.height} are too high for a JPEG")
    try:
        yield from compute_flow(reader, task.flow)
    except ValueError as error:
        raise DamagedVideoError(f"flow cannot be computed: {error}") from None


def mark_damaged(target: str, reason: str, source: FileDigest | None) -> None:
    """Records why a video cannot be decoded, and the digest of its file, if known.

    Raises:
        DataError: it cannot be written.
    """
    with writing(target + _DAMAGED):
        _write_json(target + _DAMAGED, {"reason": reason, "source": source})


def read_damage(target: str) -> str | None:
    """Returns why a video cannot be decoded; None if it is intact or not yet tried.

    Raises:
        DataError: the file was changed.
    """
    if not os.path.exists(target + _DAMAGED):
        return None
    return _read_json(target + _DAMAGED)["reason"]


def read_source(target: str) -> FileDigest | None:
    """Returns the digest of the file of a video that was tried; None if unknown.

    Raises:
        DataError: what was recorded of the video was changed.
    """
    damaged = os.path.exists(target + _DAMAGED)
    source = _read_json(target + (_DAMAGED if damaged else _INDEX))["source"]
    return FileDigest(*source) if source else None


def is_tried(target: str) -> bool:
    """Returns True if the video was decoded or found damaged."""
    return os.path.exists(target + _INDEX) or os.path.exists(target + _DAMAGED)


def load(target: str) -> DecodedVideo:
    """Loads what `decode` wrote.

    Raises:
        DataError: the file was changed.
    """
    return DecodedVideo(**{**_read_json(target + _INDEX, DecodedVideo), "path": target})


def remove(target: str) -> None:
    """Deletes a decoded video; the record of a damaged one stays."""
    for suffix in (_INDEX, _JPEGS):
        with contextlib.suppress(FileNotFoundError):
            os.remove(target + suffix)


def _write_json(path: str, values: dict[str, Any]) -> None:
    write_atomic(path, json.dumps(with_checksum(values)).encode())


def _read_json(path: str, kind: type | None = None) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            values = verify_checksum(parse_json(file.read(), path), path)
        # A build that was begun by version 0.1.0 did not record them.
        values = {"source": None, **_UNKNOWN, **values}
        return require_fields(kind, values, path) if kind else values
    except (OSError, DataError) as error:
        raise _read_error(error, path, path) from None


def _read_error(error: OSError | DataError, path: str, to_delete: str) -> DataError:
    # Too many open files, or a lost server, is not damage.
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return DataError(f"cannot read {path}: {error.strerror}")
    return _damaged_file(path, to_delete)


def _damaged_file(path: str, to_delete: str) -> DataError:
    return DataError(f"{path} is damaged: delete {to_delete} and build again")
