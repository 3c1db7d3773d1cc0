"""Predictions of an exported network: classes of a video file, or a timeline of a long one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rlstm_tf.data import timeline
from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.video import DamagedVideoError, require_readable
from rlstm_tf.data.video_views import video_views
from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import ModelMetadata, load_signatures, run_signature
from rlstm_tf.serving.intervals import Interval, average_windows, merge_pieces

# Limits of a batch of windows: as many pixels as one of the paper's videos has, so that its network
# too stays below 2 GB.
_MAX_WINDOWS, _MAX_PIXELS = 16, 8 * 224 * 224

Result = TypeVar("Result")


def _untracked(items: Iterable[Any], total: int, desc: str, unit: str) -> Iterable[Any]:
    """Shows no progress."""
    return items


class RankedClass(NamedTuple):
    """A class and its probability, 0..1."""

    label: str
    probability: float


class Prediction(NamedTuple):
    """Outputs of a network for one video.

    Attributes:
        logits: float32 [K], before softmax.
        probabilities: float32 [K].
        frames: int64 [T], first frame of each snippet.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    frames: np.ndarray

    def top(self, classes: Sequence[str]) -> list[RankedClass]:
        """Ranks the most probable of the K classes."""
        return top_classes(self.probabilities, self.logits, classes)

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Returns the values that `rlstm_tf.predict --json` prints."""
        return {
            "top": [one._asdict() for one in self.top(classes)],
            "logits": self.logits.tolist(),
            "frames": self.frames.tolist(),
        }


@dataclass(frozen=True)
class Predictor:
    """An exported network, loaded.

    Attributes:
        metadata: its inputs and outputs.
        serve: its signature `serving_default`.
    """

    metadata: ModelMetadata
    serve: Callable[..., dict[str, Any]]

    @classmethod
    def load(cls, version: Path) -> Predictor:
        """Loads a version of an exported network.

        Args:
            version: its directory, from `artifact.find_newest_version`.

        Raises:
            DataError: the version is damaged or cannot be loaded.
        """
        metadata = ModelMetadata.read(version)
        signatures = load_signatures(version)
        if "serving_default" not in signatures:
            raise DataError(f"{version} is damaged: it has no signature serving_default")
        return cls(metadata, signatures["serving_default"])

    @property
    def batch_size(self) -> int:
        """Number of videos or windows that the network gets at once, so that memory is bounded."""
        size = self.metadata.num_segments * self.metadata.image_size**2
        return min(_MAX_WINDOWS, max(1, _MAX_PIXELS // size))

    def compute(self, frames: np.ndarray, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Computes logits and probabilities, finite or not.

        Args:
            frames: uint8 [B, T, S, S, C].
            path: the video, or the first one, for error messages.

        Returns:
            Logits and probabilities, float32 [B, K] each.

        Raises:
            DataError: the network fails, for example for lack of memory.
        """
        import tensorflow as tf

        outputs = run_signature(self.serve, path, frames=tf.constant(frames))
        logits, probabilities = (outputs[name].numpy() for name in ("logits", "probabilities"))
        return logits, probabilities

    def score(self, frames: np.ndarray, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Computes logits and probabilities; arguments and returned values as for `compute`.

        Raises:
            DataError: the logits are not finite, or the network fails.
        """
        logits, probabilities = self.compute(frames, path)
        if not np.isfinite(logits).all():
            raise DataError(f"{path}: the network's scores are not finite")
        return logits, probabilities

    def predict(self, path: str, video_stream: int | None = None) -> Prediction:
        """Classifies a whole video, from the same frames as `rlstm_tf.evaluate`.

        Args:
            path: local file, or folder of pictures.
            video_stream: number of the video stream, from 0; None: the reader's choice.

        Raises:
            DataError: the file is damaged or cannot be read.
        """
        record_format, config = self.metadata.record_format, self.metadata.input_config()
        views = read_video(
            path, lambda: video_views(path, record_format, config, video_stream=video_stream)
        )
        logits, probabilities = self.score(views.frames, path)
        return Prediction(logits[0], probabilities[0], views.numbers[0])

    def predict_timeline(
        self,
        path: str,
        window: float,
        stride: float,
        track: Callable[..., Iterable[Any]] = _untracked,
        video_stream: int | None = None,
        fps: float = 0.0,
    ) -> list[Interval]:
        """Classifies windows of a long video.

        Each piece, one stride long, gets the mean probabilities of all windows that contain it.
        Neighboring pieces with the same most probable class form one interval.

        Args:
            path: local file, or folder of pictures.
            window: length of a window, seconds.
            stride: time between the starts of two windows, seconds.
            track: takes an iterable, the expected number of items (0: unknown), the name of the
                work and its unit, and returns the iterable, to show progress.
            video_stream: number of the video stream, from 0; None: the reader's choice.
            fps: frames per second of a folder of pictures.

        Returns:
            Intervals that cover the video, in order, without gap or overlap.

        Raises:
            DataError: the file is damaged or cannot be read.
        """
        short_side = self.metadata.short_side

        def track_scan(items: Iterable[Any], total: int) -> Iterable[Any]:
            return track(items, total, "scan", "frames")

        def read() -> list[Interval]:
            times = timeline.frame_times(path, short_side, track_scan, video_stream, fps)
            return merge_pieces(
                *self.predict_pieces(path, times, window, stride, track, video_stream)
            )

        return read_video(path, read)

    def predict_pieces(
        self,
        path: str,
        times: FrameTimes,
        window: float,
        stride: float,
        track: Callable[..., Iterable[Any]] = _untracked,
        video_stream: int | None = None,
    ) -> tuple[np.ndarray, Iterator[np.ndarray]]:
        """Classifies each piece of a long video.

        Args:
            path: local file, or folder of pictures.
            times: times of its frames, from `timeline.frame_times`.
            window, stride, track, video_stream: as for `predict_timeline`.

        Returns:
            Start and end of each piece, float64 [P, 2], seconds, and an iterator over their
            probabilities, float64 [K] each, which reads the video. It raises DamagedVideoError if
            the file decodes less far than before, and DataError if it cannot be read.

        Raises:
            DataError: there are too many windows.
        """
        record_format, config = self.metadata.record_format, self.metadata.input_config()
        try:
            timeline.check_num_windows(times.end, stride)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        bounds = timeline.windows(times.end, window, stride)
        numbers = timeline.window_snippets(times, bounds, config)
        views = timeline.window_views(path, record_format, config, numbers, video_stream)
        scores = self._score_windows(track(views, len(bounds), "predict", "windows"), path)
        pieces = timeline.pieces(times.end, stride)
        return pieces, average_windows(scores, timeline.covering_windows(bounds, pieces))

    def _score_windows(self, views: Iterable[np.ndarray], path: str) -> Iterator[np.ndarray]:
        """Yields the probabilities of each window, computed in batches."""
        remaining = iter(views)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self.score(np.stack(batch), path)[1]


def read_video(path: str, read: Callable[[], Result]) -> Result:
    """Calls a function that reads a video; turns its errors into a DataError of one line.

    Args:
        path: local file, or folder of pictures.
        read: the function; may raise DamagedVideoError. It is called again after one.

    Raises:
        DataError: the path is neither, or the video is damaged or cannot be read.
    """
    try:
        mode = os.stat(path).st_mode
        is_folder = stat.S_ISDIR(mode) and bool(picture_sizes(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', error)}") from None
    # Reading a pipe would block, and a device has no end.
    if not (stat.S_ISREG(mode) or is_folder):
        kind = "a directory without pictures" if stat.S_ISDIR(mode) else "not a regular file"
        raise DataError(f"{path}: is {kind}; give video files or folders of pictures")
    try:
        try:
            return read()
        except DamagedVideoError:
            # A failed read looks like damage to a decoder. If the whole file can be read and
            # decoding fails again, the file is damaged.
            require_readable(path)
            return read()
    except DamagedVideoError as error:
        raise DataError(f"{path}: {error}") from None
    except MemoryError:
        raise DataError(f"{path}: no memory to decode it") from None


def top_classes(
    probabilities: np.ndarray, scores: np.ndarray, classes: Sequence[str], count: int = 5
) -> list[RankedClass]:
    """Ranks the classes with the highest scores; ties keep the order of the classes.

    Args:
        probabilities: [K], 0..1.
        scores: [K], logits, which differ even where probabilities are rounded to 0 or 1; or the
            probabilities.
        classes: K names.
        count: number of classes to return, if there are as many.
    """
    best = np.argsort(-scores, kind="stable")[:count].tolist()
    return [RankedClass(classes[number], float(probabilities[number])) for number in best]


def timeline_json(intervals: Iterable[Interval], classes: Sequence[str]) -> dict[str, Any]:
    """Returns the values that `rlstm_tf.predict --timeline --json` prints for a video.

    Args:
        intervals: from `Predictor.predict_timeline`.
        classes: K names.
    """
    return {
        "segments": [
            {
                "start": start,
                "end": end,
                "top": [one._asdict() for one in top_classes(values, values, classes)],
            }
            for start, end, values in intervals
        ]
    }
