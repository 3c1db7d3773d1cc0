"""A video file -> its frames, upright and resized; and what is damaged about it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from rlstm_tf.errors import DataError

# JPEG's limit is 65,535; the index has two bytes for a side.
LONGEST_SIDE = 65_500
# Header and decoder disagree by one in sound files: every HMDB-51 clip does.
_FRAMES_TOLERATED = 1
# No content makes FFmpeg say these. EIO, EPERM and ENOENT it says of content too.
_OF_THE_SYSTEM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}


class DamagedVideoError(Exception):
    """The file is no video, or not all of it decodes. The message is why, without the path."""


class VideoReader:
    """The frames of the first video stream, in order of presentation, whatever their timing.

    Rotation and mirroring by the container's metadata are applied; pixels are taken as square.
    Frames are streamed: memory does not grow with the length. Use as a context manager and iterate
    once, or in place of that call one of `lazy_frames`, `times` and `count`:

        with VideoReader("clip.avi", 256) as reader:
            for frame in reader:    # uint8 [height, width, 3], BGR

    Attributes:
        fps: average frames per second, 0 = unknown.
        height, width: of the frames as they come out; the short side is the one asked for, the
            long side keeps the shape, rounded to a pixel.

    Raises:
        DamagedVideoError: when opened, if there is no video stream or no first frame; when
            iterated, if decoding fails, or ends more than one frame short of what the header says,
            in frames or, of a Matroska or WebM file, in seconds. FFmpeg may take a file for that
            which the file system does not give it: see `require_readable`.
        DataError: there is no memory, or no room for another open file.
    """

    def __init__(self, path: str, short_side: int):
        self._path = path
        self._count = 0
        self._expected = 0
        # Seconds: what the header says, the start of the last frame, the longest step to a frame.
        self._promised_end = self._time = self._step = 0.0
        try:
            # `file:` takes any name literally, and the white list keeps a playlist in disguise
            # from reading over the network.
            self._container = av.open(
                "file:" + os.path.abspath(path),
                metadata_errors="replace",
                options={"protocol_whitelist": "file"},
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failed(error, "cannot be opened") from None
        try:
            self._start(short_side)
        except BaseException:
            self._container.close()
            raise

    def _start(self, short_side: int) -> None:
        pictures = [
            stream
            for stream in self._container.streams.video
            if Disposition.attached_pic not in stream.disposition
        ]
        if not pictures:
            raise DamagedVideoError("has no video stream")
        stream = pictures[0]
        # PyAV gives none where FFmpeg knows none.
        if stream.codec_context is None:
            raise DamagedVideoError("is in a format that has no decoder")
        # One thread, so that what a damaged frame decodes to does not depend on the machine.
        stream.codec_context.thread_count = 1
        self.fps = float(stream.average_rate or 0)
        self._expected = _promised_frames(self._container.format.name, stream)
        if not self._expected:
            self._promised_end = _promised_end(self._container.format.name, stream)
        self._reformatter = VideoReformatter()
        self._decoded = self._decode(stream)
        first = next(self._decoded, None)
        if first is None:
            raise DamagedVideoError(f"no frame decodes, {self._promise()}")
        self._first = first
        self._upright = _upright(first)
        # Of the frames as stored: turned upright after the resizing, when they are small.
        self._size = _resized(first.width, first.height, short_side)
        swapped = self._upright is not None and self._upright[0]
        self.width, self.height = self._size[::-1] if swapped else self._size

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._image, self._frames())

    def lazy_frames(self) -> Iterator[Callable[[], np.ndarray]]:
        """What iterating gives, as functions: a frame that nobody calls for costs its decoding."""
        return (partial(self._image, frame) for frame in self._frames())

    def count(self) -> int:
        """Decodes all frames and returns how many there are."""
        return sum(1 for _ in self._frames())

    def times(self) -> Iterator[tuple[float | None, float]]:
        """Decodes all frames: when each is shown and for how long, in seconds.

        Yields:
            The time, None = the file does not say; and the duration, 0 = it does not say.
        """
        # AVI knows a rate and the order in which frames are decoded, which is not always that in
        # which they are shown.
        constant = self._container.format.name == "avi" and self.fps > 0
        for number, frame in enumerate(self._frames()):
            if constant:
                yield number / self.fps, 1 / self.fps
            else:
                yield frame.time, float((frame.duration or 0) * (frame.time_base or 0))

    @property
    def num_expected(self) -> int:
        """Frames as the header counts them, or about so many after its duration; 0 = unknown."""
        duration = self._promised_end or (self._container.duration or 0) / av.time_base
        return self._expected or max(round(duration * self.fps), 0)

    def _frames(self) -> Iterator[av.VideoFrame]:
        yield self._first
        yield from self._decoded
        if self._count < self._expected - _FRAMES_TOLERATED:
            raise DamagedVideoError(f"{self._count} frames decode, {self._promise()}")
        step = max(self._step, 1 / self.fps if self.fps else 0)
        # The last frame ends a step after it starts. The half is for rounded times.
        if self._promised_end - self._time > (1.5 + _FRAMES_TOLERATED) * step:
            raise DamagedVideoError(
                f"{self._count} frames decode, the last at {self._time:.2f} s, "
                f"header says that it ends at {self._promised_end:.2f} s"
            )

    def _decode(self, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        try:
            for frame in self._container.decode(stream):
                self._count += 1
                if frame.time is not None:
                    if self._count > 1:
                        self._step = max(self._step, frame.time - self._time)
                    self._time = frame.time
                yield frame
        except (av.FFmpegError, OSError, ValueError) as error:
            what = f"decoding fails after {self._count} frames, {self._promise()}"
            raise self._failed(error, what) from None

    def _failed(self, error: Exception, what: str) -> Exception:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if getattr(error, "errno", None) in _OF_THE_SYSTEM:
            return DataError(f"cannot read {self._path}: {reason}")
        return DamagedVideoError(f"{what}: {reason}")

    def _promise(self) -> str:
        return f"header says {self._expected}" if self._expected else "header says nothing"

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        image = self._reformatter.reformat(frame, format="bgr24").to_ndarray()
        if (image.shape[1], image.shape[0]) != self._size:
            shrinks = image.shape[0] > self._size[1]
            # Averaging does not alias; it only makes sense where pixels become fewer.
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, self._size, interpolation=method)
        if self._upright is not None:
            swap, mirror_x, mirror_y = self._upright
            image = image.transpose(1, 0, 2) if swap else image
            image = image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        return np.ascontiguousarray(image)


def require_readable(path: str) -> None:
    """Reads all of a video's file.

    Raises:
        DataError: the file system does not give it, which says nothing of what it holds.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """JPEG file of uint8 [H, W, 3], BGR, or [H, W], grey; `quality` 1 to 100."""
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode a frame of shape {image.shape}")
    return jpeg.tobytes()


def _promised_frames(container: str, stream: av.VideoStream) -> int:
    """Frames that the header says should come out; 0 = it does not say."""
    # A clip trimmed without encoding it again keeps all its samples, and a list of those to show.
    # PyAV of Python 3.9 cannot read the list.
    if "mp4" in container and stream.frames and hasattr(stream, "index_entries"):
        shown = sum(not entry.is_discard for entry in stream.index_entries)
        return min(shown, stream.frames) if shown else stream.frames
    return stream.frames


def _promised_end(container: str, stream: av.VideoStream) -> float:
    """Seconds after which the header says that the last frame ends; 0 = it does not say."""
    # These count no frames. Most writers note when each stream ends.
    if "matroska" not in container:
        return 0.0
    noted = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if not noted:
        return 0.0
    hours, minutes, seconds = map(float, noted.groups())
    return 3600 * hours + 60 * minutes + seconds


def _resized(width: int, height: int, short_side: int) -> tuple[int, int]:
    short, long = sorted((width, height))
    long_side = (2 * long * short_side + short) // (2 * short)
    if long_side > LONGEST_SIDE:
        raise DamagedVideoError(f"frames of {width}x{height} are too long for a JPEG")
    return (long_side, short_side) if width >= height else (short_side, long_side)


def _upright(frame: av.VideoFrame) -> tuple[bool, bool, bool] | None:
    """Swap the axes, then mirror x, mirror y: what the display matrix asks for; None = nothing."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    # Columns of 16.16 fixed-point numbers: x' = a x + c y, y' = b x + d y, y downwards.
    (a, b), (c, d) = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].tolist()
    if a and d and not b and not c:
        return (False, a < 0, d < 0) if a < 0 or d < 0 else None
    if b and c and not a and not d:
        return True, c < 0, b < 0
    if a or b or c or d:
        raise DamagedVideoError("is rotated by an angle that is no multiple of 90 degrees")
    # All zero: no rotation at all. Players show such files as they are stored.
    return None
