"""One video -> its piece: JPEG frames in a file of their own, until its shard is put together.

In the temporal stream, fields of optical flow take the place of frames.

This is what worker processes do; memory does not grow with the length of a video. A piece is

    NUMBER.jpegs    the frames, one behind the other
    NUMBER.json     their sizes and checksums; written last: where it stands the piece is whole

or NUMBER.damaged with the reason why there is none. Both are sealed
(`rlstm_tf.storage.json_values`).
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from rlstm_tf.data.optical_flow import fields
from rlstm_tf.data.video import (
    LONGEST_SIDE,
    DamagedVideoError,
    VideoReader,
    encode_jpeg,
    require_readable,
)
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import PARTIAL, write_whole, writing
from rlstm_tf.storage.json_values import of_fields, parsed, sealed, unsealed
from tfrecords_tools.builder.reuse import Place, StoredImages

_JPEGS = ".jpegs"
_INDEX = ".json"
_DAMAGED = ".damaged"


@dataclass(frozen=True)
class Task:
    """A video to decode.

    Attributes:
        piece: path of the piece, without a suffix.
        video: path of the video.
        short_side: pixels.
        jpeg_quality: 1..100.
        flow: one of `flow.METHODS` for the fields in place of the frames.
        timed: its actions are given in seconds, which means nothing without a frame rate.
        stored: where finished shards hold its images; they are copied then.
    """

    piece: str
    video: str
    short_side: int
    jpeg_quality: int
    flow: str | None = None
    timed: bool = False
    stored: Place | None = None


@dataclass(frozen=True)
class Piece:
    """A video's frames.

    Attributes:
        path: of the piece, without a suffix.
        fps: frames per second, 0 = unknown.
        height, width: pixels of a frame, or of a flow field.
        sizes, checksums: of each JPEG: bytes, and zlib.crc32.
    """

    path: str
    fps: float
    height: int
    width: int
    sizes: list[int]
    checksums: list[int]

    def jpegs(self) -> Iterator[bytes]:
        """The frames in order.

        Raises:
            DataError: what is on disk is not what was written.
        """
        try:
            with open(self.path + _JPEGS, "rb") as file:
                for size, crc32 in zip(self.sizes, self.checksums):
                    jpeg = file.read(size)
                    if zlib.crc32(jpeg) != crc32:
                        raise _damaged(self.path + _JPEGS, self.path + _INDEX)
                    yield jpeg
        except OSError as error:
            raise _unread(error, self.path + _JPEGS, self.path + _INDEX) from None


def make(task: Task) -> str | None:
    """Decodes a video into its piece.

    Returns:
        None, or the reason why the video is damaged.

    Raises:
        DataError: the video cannot be read, or the piece not be written.
    """
    # The other processes keep the other cores busy.
    cv2.setNumThreads(1)
    reason = _attempt(task)
    if reason is not None:
        # It is for good, and what a file system fails to give looks like damage to FFmpeg: found
        # again in a file that was just read from end to end, it is in the file.
        require_readable(task.video)
        reason = _attempt(task)
    if reason is not None:
        mark_damaged(task.piece, reason)
    return reason


def _attempt(task: Task) -> str | None:
    """Writes the piece; or returns the reason why the video seems damaged."""
    partial = f"{task.piece}.{os.getpid()}{PARTIAL}"
    sizes, checksums = array("I"), array("I")
    try:
        with writing(partial):
            with _source(task) as source, open(partial, "wb") as file:
                for jpeg in _jpegs(source, task):
                    file.write(jpeg)
                    sizes.append(len(jpeg))
                    checksums.append(zlib.crc32(jpeg))
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, task.piece + _JPEGS)
            write_whole(task.piece + _INDEX, _index(task.piece, source, sizes, checksums))
    except DamagedVideoError as error:
        return str(error)
    except MemoryError:
        raise DataError(f"no memory to decode {task.video}") from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)
    return None


def _source(task: Task) -> AbstractContextManager[VideoReader | StoredImages]:
    if task.stored:
        return contextlib.nullcontext(StoredImages(task.stored))
    return VideoReader(task.video, task.short_side)


def _jpegs(source: VideoReader | StoredImages, task: Task) -> Iterator[bytes]:
    if isinstance(source, StoredImages):
        return source.jpegs()
    return (encode_jpeg(image, task.jpeg_quality) for image in _images(source, task))


def _images(reader: VideoReader, task: Task) -> Iterator[np.ndarray]:
    if task.timed and not reader.fps:
        raise DamagedVideoError("has no frame rate, and its actions are given in seconds")
    if task.flow is None:
        yield from reader
        return
    if 2 * reader.height > LONGEST_SIDE:
        raise DamagedVideoError(f"fields of {reader.width}x{reader.height} are too high for a JPEG")
    try:
        yield from fields(reader, task.flow)
    except ValueError as error:
        raise DamagedVideoError(f"flow cannot be computed: {error}") from None


def _index(
    path: str, source: VideoReader | StoredImages, sizes: array[int], checksums: array[int]
) -> bytes:
    size = source.fps, source.height, source.width
    piece = Piece(os.path.basename(path), *size, sizes.tolist(), checksums.tolist())
    return json.dumps(sealed(asdict(piece))).encode()


def mark_damaged(piece: str, reason: str) -> None:
    """Leaves the reason why there is no piece.

    Raises:
        DataError: it cannot be written.
    """
    with writing(piece + _DAMAGED):
        write_whole(piece + _DAMAGED, json.dumps(sealed({"reason": reason})).encode())


def damage(piece: str) -> str | None:
    """The reason why there is no piece; None if the video is sound or was not tried yet.

    Raises:
        DataError: what is on disk is not what was written.
    """
    path = piece + _DAMAGED
    try:
        with open(path, "rb") as file:
            return unsealed(parsed(file.read(), path), path)["reason"]
    except FileNotFoundError:
        return None
    except (OSError, DataError) as error:
        raise _unread(error, path, path) from None


def is_made(piece: str) -> bool:
    """Whether the video was tried already."""
    return os.path.exists(piece + _INDEX) or os.path.exists(piece + _DAMAGED)


def load(piece: str) -> Piece:
    """A piece that `make` wrote.

    Raises:
        DataError: what is on disk is not what was written.
    """
    path = piece + _INDEX
    try:
        with open(path, "rb") as file:
            values = of_fields(Piece, unsealed(parsed(file.read(), path), path), path)
    except (OSError, DataError) as error:
        raise _unread(error, path, path) from None
    return Piece(**{**values, "path": piece})


def remove(piece: str) -> None:
    """Deletes a piece; what damaged it stays on record."""
    for suffix in (_INDEX, _JPEGS):
        with contextlib.suppress(FileNotFoundError):
            os.remove(piece + suffix)


def _unread(error: OSError | DataError, path: str, to_delete: str) -> DataError:
    # Too many open files, or a lost server, say nothing of what the file holds.
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return DataError(f"cannot read {path}: {error.strerror}")
    return _damaged(path, to_delete)


def _damaged(path: str, to_delete: str) -> DataError:
    return DataError(f"{path} is damaged: delete {to_delete} and build again")
