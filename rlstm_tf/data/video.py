"""Decodes video files into upright, resized frames, and detects damage."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from rlstm_tf.choices import MAX_PIXELS
from rlstm_tf.data.container import choose_stream, open_container
from rlstm_tf.data.orientation import read_orientation
from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.data.stream_times import FrameTimes, StreamTimes
from rlstm_tf.errors import DataError

# Pixels. JPEG allows 65,535, and the index has two bytes per side.
LONGEST_SIDE = 65_500
# Errors that damaged content never causes in FFmpeg, unlike EIO, EPERM and ENOENT.
_SYSTEM_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
_DECODER_ERRORS = (av.FFmpegError, OSError, ValueError)
# Shapes that differ by less are one shape: 426x240 and 854x480 are both 16:9.
_SHAPE_TOLERANCE = 0.01


class DamagedVideoError(Exception):
    """The file is not a video, or does not decode completely. The message has no path."""


class VideoReader:
    """Streams all frames of a video stream, in order of presentation.

    Takes the stream marked as default, of several the one with the largest pictures. Applies the
    rotation and mirroring in the container's metadata; takes pixels as square. Use it as a context
    manager, and once either iterate or call `lazy_frames` or `count`:

        with VideoReader("clip.avi", 256) as reader:
            for frame in reader:    # uint8 [height, width, 3], BGR

    Args:
        path: local file.
        short_side: short side of the frames returned, pixels; the aspect ratio is kept.
        video_stream: number of the video stream to read instead, from 0; cover pictures do not
            count.
        keep_partial: share of the frames, 0..1, that is enough: what does not decode is skipped.

    Attributes:
        fps: average frames per second; 0: unknown. Before all frames are read, the header's.
        height, width: size of the frames returned, pixels.
        streams: which of several video streams is read; empty if there is only one.
        share: share of the frames that decode, once all are read; 1.0 for an intact video.
        damage: what is damaged; None if nothing is.

    Raises:
        DamagedVideoError: on opening, if there is no video stream or no first frame; on iterating,
            if it is damaged by the rules of docs/records.md. A file that cannot be read may raise
            it too (`require_readable`).
        DataError: out of memory, or too many open files.
    """

    def __init__(
        self,
        path: str,
        short_side: int,
        video_stream: int | None = None,
        keep_partial: float | None = None,
    ):
        self._path = path
        self._keep_partial = keep_partial
        self.share = 1.0
        self.damage: str | None = None
        try:
            self._container = open_container(path)
        except _DECODER_ERRORS as error:
            raise self._make_error(error, "cannot be opened") from None
        try:
            self._start(short_side, video_stream)
        except BaseException:
            self._container.close()
            raise

    def _start(self, short_side: int, video_stream: int | None) -> None:
        try:
            stream, self.streams = choose_stream(self._container, video_stream)
        except ValueError as error:
            raise DamagedVideoError(str(error)) from None
        # None if FFmpeg has no decoder.
        if stream.codec_context is None:
            raise DamagedVideoError("is in a format that has no decoder")
        # With one thread, damaged frames decode alike on all machines.
        stream.codec_context.thread_count = 1
        # A header of a few bytes can claim frames of gigabytes.
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        self._times = StreamTimes(self._path, self._container, stream)
        self.fps = self._times.fps
        self._reformatter = VideoReformatter()
        self._decoded = self._decode(stream)
        first = next(self._decoded, None)
        if first is None:
            raise DamagedVideoError(f"no frame decodes, {self._describe_header()}")
        self._first = first
        try:
            self._orientation = read_orientation(first)
        except ValueError as error:
            raise DamagedVideoError(str(error)) from None
        # Size before rotation: frames are rotated after resizing, when they are small.
        self._shape = first.width, first.height
        self._size = scale_size(*self._shape, short_side)
        swapped = self._orientation.swap_axes
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

    def frame_times(self) -> FrameTimes:
        """Returns when each frame is shown, once all are read.

        Raises:
            DamagedVideoError: the file does not tell.
        """
        try:
            return self._times.frame_times()
        except ValueError as error:
            raise DamagedVideoError(str(error)) from None

    @property
    def num_expected(self) -> int:
        """Number of frames by the header, or estimated from its duration; 0: unknown."""
        return self._times.num_estimated

    def _frames(self) -> Iterator[av.VideoFrame]:
        yield self._first
        for frame in self._decoded:
            self._require_same_shape(frame)
            yield frame
        self.fps = self._times.fps

    def _decode(self, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        times, has_key = self._times, False
        for packet in self._read_packets(stream):
            if packet is not None and packet.size:
                times.add_packet(packet)
                has_key = has_key or packet.is_keyframe
            elif packet is not None and packet.dts is not None:
                # A decoder would take it for the end.
                times.add_empty(packet)
                continue
            try:
                frames = stream.decode(packet)
            except _DECODER_ERRORS as error:
                # A stream that was cut out of another begins with pictures that need earlier ones.
                if has_key or not times.is_open_ended:
                    self._note_damage(error)
                    times.drop_packet()
                continue
            for frame in frames:
                if times.has_all():
                    continue
                times.add_frame(frame)
                yield frame
                yield from times.repeats()
            yield from times.repeats()
        yield from times.repeats(at_end=True)
        if not times.num_pictures:
            return
        try:
            lost = times.finish()
        except OSError as error:
            raise self._make_error(error, "cannot be read") from None
        self.damage = self.damage or lost
        if self.damage is not None:
            self.share = times.share()
            if self._keep_partial is None or self.share < self._keep_partial:
                raise DamagedVideoError(self.damage)

    def _read_packets(self, stream: av.VideoStream) -> Iterator[av.Packet | None]:
        """Yields the packets, then one that flushes the decoder."""
        try:
            yield from self._container.demux(stream)
        except _DECODER_ERRORS as error:
            self._note_damage(error)
            yield None

    def _note_damage(self, error: Exception) -> None:
        """Notes the first error of the decoder; raises it if all frames are needed."""
        count = self._times.num_pictures
        what = f"decoding fails after {count} frames, {self._describe_header()}"
        made = self._make_error(error, what)
        if self._keep_partial is None or not isinstance(made, DamagedVideoError):
            raise made from None
        self.damage = self.damage or str(made)

    def _make_error(self, error: Exception, what: str) -> Exception:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if getattr(error, "errno", None) in _SYSTEM_ERRORS:
            return DataError(f"cannot read {self._path}: {reason}")
        return DamagedVideoError(f"{what}: {reason}")

    def _describe_header(self) -> str:
        expected = self._times.num_expected
        return f"header says {expected}" if expected else "header says nothing"

    def _require_same_shape(self, frame: av.VideoFrame) -> None:
        """Each frame is resized by its own size; its shape must be that of the first."""
        (width, height), (first_width, first_height) = (frame.width, frame.height), self._shape
        if (
            abs(width * first_height - first_width * height)
            > _SHAPE_TOLERANCE * width * first_height
        ):
            raise DamagedVideoError(
                f"frame {self._times.num_pictures - 1} is {width}x{height}, "
                f"the first one {first_width}x{first_height}: a record has one shape"
            )

    def _convert(self, frame: av.VideoFrame) -> np.ndarray:
        image = self._reformatter.reformat(frame, format="bgr24").to_ndarray()
        image = resize_frame(image, self._size)
        return np.ascontiguousarray(self._orientation.apply(image))


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
        DamagedVideoError: the long side would be longer than `LONGEST_SIDE`, or the frames have
            more than `MAX_PIXELS`.
    """
    short, long = sorted((width, height))
    # Rounded to the nearest pixel.
    long_side = (2 * long * short_side + short) // (2 * short)
    if long_side > LONGEST_SIDE or long_side * short_side > MAX_PIXELS:
        raise DamagedVideoError(
            f"frames of {width}x{height} are too large, resized to a short side of {short_side}"
        )
    return (long_side, short_side) if width >= height else (short_side, long_side)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encodes an image, uint8 [H, W, 3], BGR, or [H, W], gray, as JPEG; `quality` is 1 to 100."""
    done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode a frame of shape {image.shape}")
    return jpeg.tobytes()
