"""Reads a folder of pictures as the frames of a video."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np

from rlstm_tf.data.picture_series import order_pictures, picture_sizes
from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.video import DamagedVideoError, VideoReader, resize_frame, scale_size
from rlstm_tf.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"


class PictureReader:
    """Streams the pictures of a folder in the order of their numbers; used like `VideoReader`.

    Applies the rotation that JPEG files state.

    Args:
        folder: local folder of pictures (`order_pictures`).
        short_side: short side of the frames returned, pixels; the aspect ratio is kept.
        fps: frames per second; 0: unknown.

    Attributes:
        fps: frames per second; 0: unknown.
        height, width: size of the frames returned, pixels.
        streams, share, damage: as for a whole video with one stream.

    Raises:
        DamagedVideoError: on opening, if there is no picture, the names are not those of one
            series, a number is missing, or the first picture is damaged; on iterating, if a picture
            is damaged, or differs in size from the first.
        DataError: a picture cannot be read.
    """

    streams = ""
    share = 1.0
    damage: str | None = None

    def __init__(self, folder: str, short_side: int, fps: float = 0.0):
        self.fps = fps
        self._folder = folder
        names = picture_sizes(folder)
        if not names:
            raise DamagedVideoError("holds no pictures")
        try:
            self._names = order_pictures(names)
        except ValueError as error:
            raise DamagedVideoError(str(error)) from None
        first = self._read(self._names[0])
        self._stored_size = first.shape[1], first.shape[0]
        self._size = self.width, self.height = scale_size(*self._stored_size, short_side)

    def __enter__(self) -> PictureReader:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> Iterator[np.ndarray]:
        return (read() for read in self.lazy_frames())

    def lazy_frames(self) -> Iterator[Callable[[], np.ndarray]]:
        """Yields functions that return the frames; skipped frames are decoded, but not resized."""
        for name in self._names:
            image = self._read(name)
            width, height = self._stored_size
            if image.shape[:2] != (height, width):
                raise DamagedVideoError(
                    f"{name} has {image.shape[1]}x{image.shape[0]} pixels, "
                    f"{self._names[0]} {width}x{height}"
                )
            yield partial(resize_frame, image, self._size)

    def count(self) -> int:
        """Decodes all pictures and returns their number."""
        return sum(1 for _ in self.lazy_frames())

    def frame_times(self) -> FrameTimes:
        """Returns when each picture is shown.

        Raises:
            DamagedVideoError: the frames per second are unknown.
        """
        if not self.fps:
            raise DamagedVideoError("has pictures without times: give --fps")
        count = len(self._names)
        return FrameTimes(np.arange(count) / self.fps, count / self.fps)

    @property
    def num_expected(self) -> int:
        """Number of pictures."""
        return len(self._names)

    def _read(self, name: str) -> np.ndarray:
        path = os.path.join(self._folder, name)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        if _is_cut_off(content):
            raise DamagedVideoError(f"{name} is cut off")
        try:
            with _muted():
                image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
        if image is None:
            raise DamagedVideoError(f"{name} cannot be decoded")
        return image


def _is_cut_off(content: bytes) -> bool:
    """Returns whether a picture is empty, or a JPEG or PNG without its end.

    OpenCV fills up a JPEG.
    """
    if content.startswith(b"\xff\xd8"):
        # From the last start of a scan: the end of a thumbnail comes before.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    if content.startswith(_PNG):
        at, kind = len(_PNG), b""
        while at < len(content) and kind != b"IEND":
            size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
            # Its length, kind, content and checksum.
            at += 12 + size
        # OpenCV 4.11 asks for the memory that a chunk claims to have.
        return kind != b"IEND" or at > len(content)
    return not content


@contextmanager
def _muted() -> Iterator[None]:
    """Hides what OpenCV, libpng and libjpeg print on standard error."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def open_video(
    path: str,
    short_side: int,
    fps: float = 0.0,
    video_stream: int | None = None,
    keep_partial: float | None = None,
) -> VideoReader | PictureReader:
    """Opens a video file, or a folder of pictures.

    Args:
        path: local file or folder.
        short_side: short side of the frames returned, pixels.
        fps: frames per second of a folder of pictures; 0: unknown.
        video_stream, keep_partial: for a video file, as `VideoReader` takes them.

    Raises:
        DamagedVideoError, DataError: as `VideoReader` and `PictureReader` do.
    """
    if os.path.isdir(path):
        return PictureReader(path, short_side, fps)
    return VideoReader(path, short_side, video_stream, keep_partial)
