"""Decodes video files into upright, resized frames, and detects damage."""

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

from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.errors import DataError

# Pixels. JPEG allows 65,535, and the index has two bytes per side.
LONGEST_SIDE = 65_500
# Intact files may have one frame less than their header says: every HMDB-51 clip does.
_FRAMES_TOLERATED = 1
# Errors that damaged content never causes in FFmpeg, unlike EIO, EPERM and ENOENT.
_SYSTEM_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}


class DamagedVideoError(Exception):
    """The file is not a video, or does not decode completely. The message has no path."""


class VideoReader:
    """Streams all frames of the first video stream, in order of presentation.

    Applies the rotation and mirroring in the container's metadata; takes pixels as square. Use it
    as a context manager, and once either iterate or call one of `lazy_frames`, `times` and `count`:

        with VideoReader("clip.avi", 256) as reader:
            for frame in reader:    # uint8 [height, width, 3], BGR

    Args:
        path: local file.
        short_side: short side of the frames returned, pixels; the aspect ratio is kept.

    Attributes:
        fps: average frames per second; 0: unknown.
        height, width: size of the frames returned, pixels.

    Raises:
        DamagedVideoError: on opening, if there is no video stream or no first frame; on iterating,
            if decoding fails, or ends more than one frame earlier than the header says (in Matroska
            and WebM files: by its duration). A file that cannot be read may raise it too
            (`require_readable`).
        DataError: out of memory, or too many open files.
    """

    def __init__(self, path: str, short_side: int):
        self._path = path
        self._count = 0
        self._expected = 0
        # Seconds: end of the last frame by the header, time of the last frame, longest time between
        # two frames.
        self._expected_end = self._time = self._step = 0.0
        try:
            # `file:` takes any name literally, and the whitelist keeps a disguised playlist from
            # reading over the network.
            self._container = av.open(
                "file:" + os.path.abspath(path),
                metadata_errors="replace",
                options={"protocol_whitelist": "file"},
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._make_error(error, "cannot be opened") from None
        try:
            self._start(short_side)
        except BaseException:
            self._container.close()
            raise

    def _start(self, short_side: int) -> None:
        videos = [
            stream
            for stream in self._container.streams.video
            if Disposition.attached_pic not in stream.disposition
        ]
        if not videos:
            raise DamagedVideoError("has no video stream")
        stream = videos[0]
        # None if FFmpeg has no decoder.
        if stream.codec_context is None:
            raise DamagedVideoError("is in a format that has no decoder")
        # With one thread, damaged frames decode alike on all machines.
        stream.codec_context.thread_count = 1
        self.fps = _frame_rate(self._container.format.name, stream)
        self._expected = _expected_frames(self._container.format.name, stream)
        if not self._expected:
            self._expected_end = _expected_end(self._container.format.name, stream)
        self._reformatter = VideoReformatter()
        self._decoded = self._decode(stream)
        first = next(self._decoded, None)
        if first is None:
            raise DamagedVideoError(f"no frame decodes, {self._describe_header()}")
        self._first = first
        self._orientation = _read_orientation(first)
        # Size before rotation: frames are rotated after resizing, when they are small.
        self._size = scale_size(first.width, first.height, short_side)
        swapped = self._orientation is not None and self._orientation[0]
        self.width, self.height = self._size[::-1] if swapped else self._size

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._convert, self._frames())

    def lazy_frames(self) -> Iterator[Callable[[], np.ndarray]]:
        """Yields functions that return the frames; skipped frames are decoded, but not resized."""
        return (partial(self._convert, frame) for frame in self._frames())

    def count(self) -> int:
        """Decodes all frames and returns their number."""
        return sum(1 for _ in self._frames())

    def times(self) -> Iterator[tuple[float | None, float]]:
        """Decodes all frames and yields their times.

        Yields:
            Time (None: unknown) and duration (0: unknown) of a frame, seconds.
        """
        # AVI has a constant rate, and stores frames in decoding order, which may differ from the
        # order of presentation.
        constant = self._container.format.name == "avi" and self.fps > 0
        for number, frame in enumerate(self._frames()):
            if constant:
                yield number / self.fps, 1 / self.fps
            else:
                yield frame.time, float((frame.duration or 0) * (frame.time_base or 0))

    @property
    def num_expected(self) -> int:
        """Number of frames by the header, or estimated from its duration; 0: unknown."""
        duration = self._expected_end or (self._container.duration or 0) / av.time_base
        return self._expected or max(round(duration * self.fps), 0)

    def _frames(self) -> Iterator[av.VideoFrame]:
        yield self._first
        yield from self._decoded
        if self._count < self._expected - _FRAMES_TOLERATED:
            raise DamagedVideoError(f"{self._count} frames decode, {self._describe_header()}")
        step = max(self._step, 1 / self.fps if self.fps else 0)
        # The last frame ends a step after its time; half a step is for rounding.
        if self._expected_end - self._time > (1.5 + _FRAMES_TOLERATED) * step:
            raise DamagedVideoError(
                f"{self._count} frames decode, the last at {self._time:.2f} s, "
                f"header says that it ends at {self._expected_end:.2f} s"
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
            what = f"decoding fails after {self._count} frames, {self._describe_header()}"
            raise self._make_error(error, what) from None

    def _make_error(self, error: Exception, what: str) -> Exception:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if getattr(error, "errno", None) in _SYSTEM_ERRORS:
            return DataError(f"cannot read {self._path}: {reason}")
        return DamagedVideoError(f"{what}: {reason}")

    def _describe_header(self) -> str:
        return f"header says {self._expected}" if self._expected else "header says nothing"

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        image = self._reformatter.reformat(frame, format="bgr24").to_ndarray()
        image = resize_frame(image, self._size)
        if self._orientation is not None:
            swap, mirror_x, mirror_y = self._orientation
            image = image.transpose(1, 0, 2) if swap else image
            image = image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        return np.ascontiguousarray(image)


def require_readable(path: str) -> None:
    """Reads a whole file, to tell errors of the file system from damaged content.

    Args:
        path: local file, or folder of pictures.

    Raises:
        DataError: the file cannot be read.
    """
    if os.path.isdir(path):
        for name in picture_sizes(path):
            require_readable(os.path.join(path, name))
        return
    try:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def resize_frame(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image, uint8 [H, W, 3], to a width and height."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    # Averaging areas avoids aliasing, but only works for shrinking.
    method = cv2.INTER_AREA if image.shape[0] > size[1] else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method)


def scale_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Scales a width and height to a short side, pixels; the aspect ratio is kept.

    Raises:
        DamagedVideoError: the long side would be longer than `LONGEST_SIDE`.
    """
    short, long = sorted((width, height))
    # Rounded to the nearest pixel.
    long_side = (2 * long * short_side + short) // (2 * short)
    if long_side > LONGEST_SIDE:
        raise DamagedVideoError(f"frames of {width}x{height} are too long for a JPEG")
    return (long_side, short_side) if width >= height else (short_side, long_side)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encodes an image, uint8 [H, W, 3], BGR, or [H, W], gray, as JPEG; `quality` is 1 to 100."""
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode a frame of shape {image.shape}")
    return jpeg.tobytes()


def _frame_rate(container: str, stream: av.VideoStream) -> float:
    """Returns the average number of frames per second; 0: unknown."""
    # FFmpeg gives the time base of a DV file for its rate, 60,000.
    rate = stream.guessed_rate if container == "dv" else stream.average_rate
    return float(rate or 0)


def _expected_frames(container: str, stream: av.VideoStream) -> int:
    """Returns the number of frames to show by the header; 0: unknown."""
    # A clip trimmed without re-encoding keeps all frames, and has a list of those to show. PyAV for
    # Python 3.9 cannot read the list.
    if "mp4" in container and stream.frames and hasattr(stream, "index_entries"):
        shown = sum(not entry.is_discard for entry in stream.index_entries)
        return min(shown, stream.frames) if shown else stream.frames
    return stream.frames


def _expected_end(container: str, stream: av.VideoStream) -> float:
    """Returns the end of the last frame by the header, seconds; 0: unknown."""
    # Matroska has no number of frames, but most writers store the duration of each stream.
    if "matroska" not in container:
        return 0.0
    duration = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if not duration:
        return 0.0
    hours, minutes, seconds = map(float, duration.groups())
    return 3600 * hours + 60 * minutes + seconds


def _read_orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool] | None:
    """Returns whether to swap the axes, then mirror x, mirror y; None: do nothing."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    # 16.16 fixed-point numbers: x' = a x + c y, y' = b x + d y, with y pointing down.
    (a, b), (c, d) = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].tolist()
    if a and d and not b and not c:
        return (False, a < 0, d < 0) if a < 0 or d < 0 else None
    if b and c and not a and not d:
        return True, c < 0, b < 0
    if a or b or c or d:
        raise DamagedVideoError("is rotated by an angle that is not a multiple of 90 degrees")
    # All zeros: players do not rotate such files.
    return None
