"""The answer for one video, with the pictures to show beside it; nothing here knows the page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rlstm_tf.data import timeline
from rlstm_tf.data.container import describe_streams, header_seconds
from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.video import encode_jpeg
from rlstm_tf.errors import DataError
from rlstm_tf.messages import decode_name
from rlstm_tf.serving.intervals import Interval, merge_pieces
from rlstm_tf.serving.predictor import Predictor, read_video, timeline_json

# Pixels. A page is seldom larger than three of these pictures, and the networks see less.
_STILL_SIDE = 256
_STILL_QUALITY = 90
# Pictures that are kept of a video, 10 to 20 MB: all of 24 seconds, two a second of 5 minutes.
MOST_STILLS = 600
# A file may claim any rate; no camera that a page gets videos from is faster.
_MOST_FPS = 240


class Options(NamedTuple):
    """Settings of the page.

    Attributes:
        window, stride: length of a window and time between two, seconds.
        max_megabytes: largest file, 1e6 bytes.
        max_seconds: longest video.
    """

    window: float
    stride: float
    max_megabytes: int
    max_seconds: float


class Stills:
    """Pictures of a video at regular intervals: all its frames, or every second, fourth ... one."""

    def __init__(self) -> None:
        self._every = 1
        self._jpegs: list[bytes] = []

    def add(self, number: int, take: Callable[[], np.ndarray]) -> None:
        """Keeps the next frame, if it is one of those to keep.

        Args:
            number: of the frame, from 0; each is given, in order.
            take: returns the frame, uint8 [H, W, 3], BGR.
        """
        if number % self._every:
            return
        self._jpegs.append(encode_jpeg(take(), _STILL_QUALITY))
        if len(self._jpegs) > MOST_STILLS:
            del self._jpegs[1::2]
            self._every *= 2

    def nearest(self, number: int) -> tuple[int, bytes]:
        """Returns the kept frame that is the nearest to a frame: its number, and its JPEG."""
        index = min(round(number / self._every), len(self._jpegs) - 1)
        return index * self._every, self._jpegs[index]


class Still(NamedTuple):
    """A frame to show: its number, from 0; its time, seconds; its JPEG."""

    number: int
    time: float
    jpeg: bytes


@dataclass(frozen=True)
class Analysis:
    """A video, classified over time.

    Attributes:
        path: local file.
        name: name of the video, as its owner knows it.
        times: times of its frames.
        pieces: start and end of each piece of the timeline, float64 [P, 2], seconds.
        probabilities: of each piece, float64 [P, K].
        classes: K names.
        stills: pictures of it.
        note: which of several video streams is read; empty if there is only one.
    """

    path: str
    name: str
    times: FrameTimes
    pieces: np.ndarray
    probabilities: np.ndarray
    classes: Sequence[str]
    stills: Stills
    note: str

    def intervals(self) -> list[Interval]:
        """Merges neighboring pieces with the same most probable class."""
        return merge_pieces(self.pieces, self.probabilities)

    def to_json(self) -> str:
        """Returns the line that `rlstm_tf.predict --timeline --json` prints for the video."""
        answer = timeline_json(self.intervals(), self.classes)
        return json.dumps({"video": decode_name(self.name), **answer}, allow_nan=False) + "\n"

    def still(self, seconds: float) -> Still:
        """Returns the frame that is shown at a time, or the nearest one that is kept."""
        shown = np.searchsorted(self.times.starts, seconds, side="right") - 1
        number, jpeg = self.stills.nearest(max(int(shown), 0))
        return Still(number, float(self.times.starts[number]), jpeg)

    def summary(self) -> str:
        """Describes the video and its answer on one line."""
        count, parts = len(self.times.starts), len(self.intervals())
        found = f"{self.name}: {self.times.end:.1f} s, {_count(count, 'frame')}, "
        return found + _count(parts, "segment") + (f"; {self.note} is read" if self.note else "")


def analyze(
    predictor: Predictor,
    path: str,
    name: str,
    options: Options,
    track: Callable[..., Iterable[Any]],
) -> Analysis:
    """Classifies a video over time.

    Args:
        predictor: the network.
        path: local file.
        name: name of the video, for its owner.
        options: windows, and the largest video that is taken.
        track: shows progress, as for `Predictor.predict_timeline`.

    Raises:
        DataError: the file is too large or too long, damaged, or cannot be read. The message names
            the video, not the path.
    """
    try:
        _check_header(path, options)
        return read_video(path, lambda: _analyze(predictor, path, name, options, track))
    except DataError as error:
        raise DataError(str(error).replace(path, name)) from None


def _check_header(path: str, options: Options) -> None:
    """Refuses what is too large or too long by its own header, before anything is decoded."""
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if size > options.max_megabytes * 1e6:
        raise DataError(
            f"{path}: is {size / 1e6:,.1f} MB large, more than --max_megabytes="
            f"{options.max_megabytes}"
        )
    _check_length(path, header_seconds(path), options)


def _check_length(path: str, seconds: float, options: Options) -> None:
    if seconds > options.max_seconds:
        raise DataError(
            f"{path}: lasts {seconds:,.1f} s, longer than --max_seconds={options.max_seconds:g}"
        )


def _analyze(
    predictor: Predictor,
    path: str,
    name: str,
    options: Options,
    track: Callable[..., Iterable[Any]],
) -> Analysis:
    stills = Stills()
    most_frames = round(options.max_seconds * _MOST_FPS)

    def keep_stills(items: Iterable[Any], total: int) -> Iterator[Any]:
        for number, take in enumerate(track(items, total, "scan", "frames")):
            # A header may tell nothing, or lie.
            if number >= most_frames:
                raise DataError(
                    f"{path}: has more than {most_frames:,} frames: too many for "
                    f"--max_seconds={options.max_seconds:g}"
                )
            stills.add(number, take)
            yield take

    times = timeline.frame_times(path, _STILL_SIDE, keep_stills)
    _check_length(path, times.end, options)
    pieces, probabilities = predictor.predict_pieces(
        path, times, options.window, options.stride, track
    )
    return Analysis(
        path=path,
        name=name,
        times=times,
        pieces=pieces,
        probabilities=np.stack(list(probabilities)),
        classes=predictor.metadata.classes,
        stills=stills,
        note=describe_streams(path),
    )


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}" + ("s" if number != 1 else "")
