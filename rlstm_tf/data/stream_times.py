"""The time line of a video stream: when each picture is shown, and which pictures are lost.

Building, predictions and their timelines all read it through `rlstm_tf.data.video.VideoReader`.
docs/records.md tells the rules and their reasons.
"""

from __future__ import annotations

import os
import re
from array import array
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer

from rlstm_tf.data.mpeg4 import PictureCounter

# Intact files may have one picture less than their header says: every HMDB-51 clip does.
_PICTURES_TOLERATED = 1
# Seconds. Pictures stored out of order go back by less; further back, another recording begins.
_RESTART = 1.0
# Share by which the header's frame rate may differ from that of the timestamps: those of Matroska
# are milliseconds.
_RATE_TOLERANCE = 0.05
# Chunks that may follow the last picture of an AVI file.
_CHUNK = re.compile(rb"(?P<stream>\d\d)[a-z]{2}|ix\d\d|JUNK|idx1|RIFF|LIST")


class FrameTimes(NamedTuple):
    """Times of a video's frames, in seconds from the first one.

    Attributes:
        starts: start of each frame, float64 [F], ascending.
        end: end of the last frame.
    """

    starts: np.ndarray
    end: float


class StreamTimes:
    """Gives each picture its time, and compares what decodes with what the header promises.

    Args:
        path: local file.
        container: the file, opened.
        stream: the stream, before its first packet is read.

    Attributes:
        num_pictures: pictures shown so far.
        num_expected: pictures by the header, empty places included; 0: unknown.
    """

    def __init__(self, path: str, container: InputContainer, stream: av.VideoStream):
        self._path = path
        # FFmpeg's name of the format.
        name = container.format.name
        self._length = (container.duration or 0) / av.time_base
        self._number = stream.index
        self._time_base = stream.time_base or Fraction(0)
        # FFmpeg takes the clock of DV for its rate, 60,000.
        rate = stream.guessed_rate if name == "dv" else stream.average_rate
        self._header_rate = float(rate or 0)
        self._guessed_rate = float(stream.guessed_rate or 0)
        self.num_pictures = 0
        self.num_expected = _count_by_header(name, stream)
        # End of the last picture by the header, seconds; 0: unknown.
        self._expected_end = 0.0 if self.num_expected else _end_by_header(name, stream)
        # Packets that do not decode.
        self._num_failed = 0
        # Seconds on the stream's clock: the start of each picture as far as it is known, the end of
        # the last one, and the longest time between two.
        self._starts = array("d")
        self._end = self._step = 0.0
        # Added to timestamps, after they started again.
        self._offset = 0.0
        # AVI has one place for each tick of its clock: the place of each picture that is not yet
        # shown, the next place, the places that are empty, and the end of the last chunk, bytes.
        self._is_avi = name == "avi"
        self._places: deque[int] = deque()
        self._next_place = stream.start_time or 0
        self._num_empty = 0
        self._position = 0
        # MPEG-4: repeats of the picture before, as the number of pictures to be shown first, and
        # their timestamp.
        codec = stream.codec_context
        self._counter = PictureCounter(codec.extradata or b"") if codec.name == "mpeg4" else None
        self._num_coded = 0
        self._has_repeats = False
        self._repeats: deque[tuple[int, float | None]] = deque()
        self._last: av.VideoFrame | None = None

    @property
    def is_open_ended(self) -> bool:
        """True if nothing tells where the stream ends: it may be cut anywhere."""
        return not self.num_expected and not self._expected_end

    @property
    def num_estimated(self) -> int:
        """Number of pictures by the header, or estimated from its duration; 0: unknown."""
        duration = self._expected_end or self._length
        return self.num_expected or max(round(duration * self._guessed_rate), 0)

    @property
    def fps(self) -> float:
        """Average pictures per second so far; 0: unknown.

        The header's number, unless the timestamps tell another: Ogg has none, and that of an AVI
        file counts its empty places.
        """
        if not self._starts or self._end <= self._starts[0]:
            return self._header_rate
        rate = len(self._starts) / (self._end - self._starts[0])
        differs = abs(rate - self._header_rate) > _RATE_TOLERANCE * rate
        return rate if differs else self._header_rate

    def frame_times(self) -> FrameTimes:
        """Returns the times of all pictures so far.

        Raises:
            ValueError: a picture has no time, or the last one no duration.
        """
        if len(self._starts) < self.num_pictures:
            raise ValueError(f"has no time for frame {len(self._starts)}")
        starts = np.array(self._starts)
        if not len(starts) or self._end <= starts[-1]:
            raise ValueError("has no duration for its last frame")
        return FrameTimes(starts - starts[0], self._end - float(starts[0]))

    def add_packet(self, packet: av.Packet) -> None:
        """Notes a packet, before it is decoded."""
        if self._is_avi and packet.dts is not None:
            # FFmpeg skips empty chunks, and its clock does not.
            self._num_empty += max(packet.dts - self._next_place, 0)
            self._next_place = packet.dts + 1
            self._position = (packet.pos or 0) + packet.size
            self._places.append(packet.dts)
        if self._counter is not None:
            coded, repeats = self._counter.count(bytes(packet))
            self._num_coded += coded
            time = None if packet.pts is None else float(packet.pts * self._time_base)
            for _ in range(repeats):
                self._has_repeats = True
                self._repeats.append((self._num_coded, time))
                self._num_coded += 1

    def add_empty(self, packet: av.Packet) -> None:
        """Notes a packet without content: the picture before is held."""
        self._num_empty += 1
        if self._starts and packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * self._time_base) + self._offset
            self._end = max(self._end, end)

    def drop_packet(self) -> None:
        """Notes that the packet added last does not decode."""
        self._num_failed += 1
        if self._places:
            self._places.pop()

    def add_frame(self, frame: av.VideoFrame) -> None:
        """Notes a decoded frame."""
        self._last = frame
        self._show(frame.time, float((frame.duration or 0) * (frame.time_base or 0)))

    def has_all(self) -> bool:
        """Tells that every picture of the packets is shown.

        FFmpeg repeats the last picture of an MPEG-4 stream itself where it is not coded.
        """
        return self._has_repeats and self.num_pictures >= self._num_coded

    def repeats(self, at_end: bool = False) -> Iterator[av.VideoFrame]:
        """Yields the last frame for each repeat that is due; `at_end`, for all that are left."""
        while self._repeats and self._last is not None:
            before, time = self._repeats[0]
            if before > self.num_pictures and not at_end:
                return
            self._repeats.popleft()
            self._show(time, 0.0)
            yield self._last

    def finish(self) -> str | None:
        """Ends the stream; returns which pictures are lost, or None."""
        found = self.num_pictures + self._num_empty
        if self._is_avi and found < self.num_expected:
            held = _count_empty_chunks(self._path, self._position, self._number)
            self._num_empty += held
            self._end += float(held * self._time_base)
            found += held
        if found < self.num_expected - _PICTURES_TOLERATED:
            empty = f", {self._num_empty} are empty" if self._num_empty else ""
            return f"{self.num_pictures} frames decode{empty}, header says {self.num_expected}"
        step = max(self._step, 1 / self._header_rate if self._header_rate else 0.0)
        last = self._starts[-1] if self._starts else 0.0
        end = max(self._end, last + step)
        # Half a step is for rounding.
        if self._expected_end - end > (0.5 + _PICTURES_TOLERATED) * step:
            return (
                f"{self.num_pictures} frames decode, the last at {last:.2f} s, "
                f"header says that it ends at {self._expected_end:.2f} s"
            )
        return None

    def share(self) -> float:
        """Returns the share of the stream that decodes, 0..1."""
        if self.num_expected:
            return min((self.num_pictures + self._num_empty) / self.num_expected, 1.0)
        share = self.num_pictures / max(self.num_pictures + self._num_failed, 1)
        return share * min(self._end / self._expected_end, 1.0) if self._expected_end else share

    def _show(self, time: float | None, duration: float) -> None:
        """Places the next picture, given its timestamp and duration, seconds."""
        if self._is_avi:
            # FFmpeg's times of AVI are wrong where pictures are stored out of order. In the order
            # of presentation, each picture has the first place that is left.
            place = self._places.popleft() if self._places else self._next_place
            time, duration = float(place * self._time_base), float(self._time_base)
        if not duration and self._guessed_rate:
            duration = 1 / self._guessed_rate
        self.num_pictures += 1
        if time is None and not duration:
            return
        start = self._follow(time)
        if self._starts:
            self._step = max(self._step, start - self._starts[-1])
        self._starts.append(start)
        self._end = max(self._end, start + duration)

    def _follow(self, time: float | None) -> float:
        """Returns a picture's time: its timestamp, but never before the picture before it."""
        if time is None:
            return self._end
        time += self._offset
        if not self._starts or time >= self._starts[-1]:
            return time
        if self._starts[-1] - time < _RESTART:
            return self._starts[-1]
        self._offset += self._end - time
        return self._end


def _count_by_header(container: str, stream: av.VideoStream) -> int:
    """Returns the number of pictures to show by the header; 0: unknown."""
    # A clip trimmed without re-encoding keeps all frames, and has a list of those to show. PyAV for
    # Python 3.9 cannot read the list.
    if "mp4" in container and stream.frames and hasattr(stream, "index_entries"):
        shown = sum(not entry.is_discard for entry in stream.index_entries)
        return min(shown, stream.frames) if shown else stream.frames
    return stream.frames


def _end_by_header(container: str, stream: av.VideoStream) -> float:
    """Returns the end of the last picture by the header, seconds; 0: unknown."""
    # Matroska has no number of frames, but most writers store the duration of each stream.
    if "matroska" not in container:
        return 0.0
    duration = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if not duration:
        return 0.0
    hours, minutes, seconds = map(float, duration.groups())
    return 3600 * hours + 60 * minutes + seconds


def _count_empty_chunks(path: str, position: int, stream: int) -> int:
    """Counts the empty chunks of a stream between its last picture and the end of an AVI file.

    FFmpeg skips them without a trace.

    Args:
        path: local file.
        position: end of the last picture, bytes.
        stream: number of the stream.
    """
    count = 0
    with open(path, "rb") as file:
        file.seek(position + position % 2)
        while True:
            head = file.read(8)
            chunk = _CHUNK.fullmatch(head[:4])
            if len(head) < 8 or chunk is None:
                return count
            size = int.from_bytes(head[4:], "little")
            if head[:4] in (b"RIFF", b"LIST"):
                size = 4
            elif chunk["stream"] and int(chunk["stream"]) == stream and size == 0:
                count += 1
            file.seek(size + size % 2, os.SEEK_CUR)
