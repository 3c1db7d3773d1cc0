"""Reads frames of a stream while it goes on: a camera, a pipe, or a file, one at each tick.

A thread decodes. A file waits until its frames are taken. A camera or a pipe does not wait: only
the newest due frame is kept, and those that nobody took are counted, so memory is constant.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from rlstm_tf.choices import MAX_PIXELS
from rlstm_tf.data.container import choose_stream, open_live
from rlstm_tf.data.orientation import read_orientation
from rlstm_tf.data.video import DamagedVideoError, resize_frame, scale_size
from rlstm_tf.data.video_views import RecordFormat, compress
from rlstm_tf.errors import DataError

# Seconds without a due frame after which a camera or a pipe counts as stalled.
STALLED = 10.0
_DECODER_ERRORS = (av.FFmpegError, OSError, ValueError)
# Seconds: more than a sum's rounding error, less than a frame's duration.
_TOLERANCE = 1e-6


class LiveFrame(NamedTuple):
    """A due frame of a stream.

    Attributes:
        time: when it is shown, seconds since the first frame.
        image: uint8 [H, W, 3], RGB, as an image of a record.
        dropped: due frames since the one before that were dropped, because nobody took them.
    """

    time: float
    image: np.ndarray
    dropped: int


class LiveReader:
    """Reads a stream; a context manager to iterate over once.

        with LiveReader("/dev/video0", 0.5, record_format) as reader:
            for frame in reader:    # LiveFrame

    Args:
        source: video file, device of a camera, named pipe, or `-` for standard input.
        every: time between two due frames, seconds; 0 = every frame is due.
        record_format: settings of the records that the network was trained on.
        video_stream: number of the video stream, from 0; None: the default one, else the largest.

    Attributes:
        damaged: packets so far that do not decode; what follows them is read on.

    Raises:
        DataError: the source is missing or is no video; on iterating, if no frame decodes, frames
            have no time, the size changes, or a camera or a pipe gives no frame for `STALLED`
            seconds.
    """

    def __init__(
        self,
        source: str,
        every: float,
        record_format: RecordFormat,
        video_stream: int | None = None,
    ) -> None:
        self.damaged = 0
        self._name = "standard input" if source == "-" else source
        self._every, self._format = every, record_format
        self._frames: queue.Queue[Any] = queue.Queue(1)
        self._closed = threading.Event()
        try:
            # Whether the source waits for its reader.
            self._container, self._waits = open_live(source, STALLED, self._closed)
            self._stream, _ = choose_stream(self._container, video_stream)
        except _DECODER_ERRORS as error:
            raise self._make_error(error, "cannot be opened") from None
        if self._stream.codec_context is None:
            raise DataError(f"{self._name}: is in a format that has no decoder")
        self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # A daemon: a read from a camera cannot be interrupted.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LiveReader:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        # Time for a step of the decoder; a read from a camera that stalls never ends.
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._container.close()

    def __iter__(self) -> Iterator[LiveFrame]:
        while True:
            try:
                found = self._frames.get(timeout=None if self._waits else STALLED + self._every)
            except queue.Empty:
                raise DataError(f"{self._name}: no frame for {STALLED:g} seconds") from None
            if isinstance(found, LiveFrame):
                yield found
            elif found is None:
                return
            else:
                raise found

    def _run(self) -> None:
        """Passes on the due frames, then None or the error that ends the stream."""
        end: BaseException | None = None
        try:
            for time, image in self._due_frames():
                self._pass_on(LiveFrame(time, image, 0))
        # Whatever it is: the other thread waits for it.
        except BaseException as error:
            end = error
        self._put(end)

    def _pass_on(self, frame: LiveFrame) -> None:
        """Puts a frame into the queue; of a source that does not wait, in place of an older one."""
        if not self._waits:
            with contextlib.suppress(queue.Empty):
                frame = frame._replace(dropped=self._frames.get_nowait().dropped + 1)
        self._put(frame)

    def _put(self, item: Any) -> None:
        """Waits until the item before is taken, or nobody takes any more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._frames.put(item, timeout=0.2)
                return

    def _due_frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields the time and the image of each due frame."""
        frames = self._timed_frames()
        _, first = next(frames, (0.0, None))
        if first is None:
            raise DataError(f"{self._name}: no frame decodes")
        try:
            size = scale_size(first.width, first.height, self._format.short_side)
            orientation = read_orientation(first)
        except (DamagedVideoError, ValueError) as error:
            raise DataError(f"{self._name}: {error}") from None
        reformatter, due = VideoReformatter(), 0.0
        for time, frame in itertools.chain([(0.0, first)], frames):
            if (frame.width, frame.height) != (first.width, first.height):
                raise DataError(
                    f"{self._name}: a frame is {frame.width}x{frame.height}, the first one "
                    f"{first.width}x{first.height}"
                )
            if time < due - _TOLERANCE:
                continue
            if self._every:
                due = (time + _TOLERANCE) // self._every * self._every + self._every
            image = reformatter.reformat(frame, format="bgr24").to_ndarray()
            image = np.ascontiguousarray(orientation.apply(resize_frame(image, size)))
            yield time, compress(image, self._format.jpeg_quality, cv2.IMREAD_COLOR_RGB)

    def _timed_frames(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yields the frames and when they are shown, seconds since the first."""
        rate = self._stream.average_rate
        start = latest = 0.0
        for number, frame in enumerate(self._decode()):
            shown = frame.time
            if shown is None:
                if not rate:
                    raise DataError(f"{self._name}: its frames have no times")
                shown = number / float(rate)
            if number == 0:
                start = latest = shown
            elif shown < latest:
                # A source that begins anew goes on from its latest frame.
                start -= latest - shown
            latest = shown
            yield shown - start, frame

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Yields the frames; counts packets that do not decode."""
        packets = self._container.demux(self._stream)
        while not self._closed.is_set():
            try:
                packet = next(packets, None)
            except _DECODER_ERRORS as error:
                raise self._make_error(error, "cannot be read") from None
            if packet is None:
                return
            try:
                frames = self._stream.decode(packet)
            except _DECODER_ERRORS:
                self.damaged += 1
                continue
            yield from frames

    def _make_error(self, error: Exception, what: str) -> DataError:
        reason = getattr(error, "strerror", None) or str(error)
        return DataError(f"{self._name}: {what}: {reason}")
