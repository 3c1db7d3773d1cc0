"""Opens video files, and chooses one of several video streams."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import threading
import time

import av
from av.container import InputContainer
from av.stream import Disposition

# Formats that name other files or devices. All that is shown must be in the file's own bytes.
_REFERENCES = {
    *("avs", "concat", "dash", "fbdev", "hls", "image2", "imf", "ivr", "kmsgrab", "lavfi", "rtp"),
    *("rtsp", "sap", "sdp", "vapoursynth", "video4linux2,v4l2", "vobsub", "x11grab"),
}
_FORMATS = ",".join(sorted(av.formats_available - _REFERENCES))
# Linux's cameras.
_CAMERA = "v4l2"


def open_container(path: str) -> InputContainer:
    """Opens a local file.

    Raises:
        av.FFmpegError, OSError, ValueError: it is not a container of streams, or cannot be read.
    """
    # `file:` takes any name literally, and the whitelists keep a disguised playlist from reading
    # another file, or over the network.
    try:
        return av.open(
            "file:" + os.path.abspath(path),
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": _FORMATS},
        )
    except av.ArgumentError:
        raise ValueError("it names other files, as a playlist does") from None


def open_live(source: str, timeout: float, closed: threading.Event) -> tuple[InputContainer, bool]:
    """Opens a stream that may not end: a file, a device of a camera, a pipe.

    Args:
        source: path; `-` = standard input.
        timeout: seconds that a pipe may give nothing, now or later.
        closed: once it is set, a pipe ends, also in the middle of a read.

    Returns:
        The container, and whether it is a file, which waits until it is read.

    Raises:
        av.FFmpegError, OSError, ValueError: it is none of these, or cannot be read.
    """
    if source == "-":
        if sys.stdin is None:
            raise ValueError("it is closed")
        file = _Pipe(sys.stdin.fileno(), timeout, closed)
    else:
        mode = os.stat(source).st_mode
        if stat.S_ISCHR(mode):
            return av.open(source, format=_CAMERA), False
        if not stat.S_ISFIFO(mode):
            return open_container(source), True
        file = _Pipe(source, timeout, closed)
    options = {"protocol_whitelist": "", "format_whitelist": _FORMATS}
    container = av.open(file, "r", metadata_errors="replace", options=options)
    return container, stat.S_ISREG(os.fstat(file.fileno()).st_mode)


class _Pipe(io.FileIO):
    """A pipe that raises TimeoutError if nothing comes. Without a buffer: that would fill first."""

    def __init__(self, source: str | int, timeout: float, closed: threading.Event) -> None:
        super().__init__(source, "rb", closefd=isinstance(source, str))
        self._timeout, self._closed = timeout, closed

    def read(self, size: int | None = -1) -> bytes:
        end = time.monotonic() + self._timeout
        while not select.select([self], [], [], 0.1)[0]:
            if self._closed.is_set():
                return b""
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, f"no data for {self._timeout:g} seconds")
        return super().read(size)


def choose_stream(
    container: InputContainer, number: int | None = None
) -> tuple[av.VideoStream, str]:
    """Chooses a video stream: the one marked as default, of several the largest.

    Args:
        container: file with any streams. Cover pictures do not count.
        number: number of a video stream to take instead, from 0.

    Returns:
        The stream, and a text that tells which of several it is; empty if `number` is given, or
        there is only one.

    Raises:
        ValueError: there is no such stream.
    """
    videos = [
        stream
        for stream in container.streams.video
        if Disposition.attached_pic not in stream.disposition
    ]
    if not videos:
        raise ValueError("has no video stream")
    if number is not None:
        if number >= len(videos):
            raise ValueError(f"has no video stream {number}: it has {len(videos)}, from 0")
        return videos[number], ""
    chosen = max(videos, key=_rank)
    if len(videos) == 1:
        return chosen, ""
    return chosen, f"video stream {videos.index(chosen)} of 0 to {len(videos) - 1}"


def describe_streams(path: str) -> str:
    """Tells which of a file's video streams is read; empty if there is only one, or an error."""
    try:
        with open_container(path) as container:
            return choose_stream(container)[1]
    except (av.FFmpegError, OSError, ValueError):
        return ""


def header_seconds(path: str) -> float:
    """Returns the length of a file by its header, seconds; 0: unknown, or it cannot be opened."""
    try:
        with open_container(path) as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return 0.0


def _rank(stream: av.VideoStream) -> tuple[bool, bool, int]:
    # None if FFmpeg has no decoder.
    codec = stream.codec_context
    is_default = Disposition.default in stream.disposition
    return codec is not None, is_default, codec.width * codec.height if codec else 0
