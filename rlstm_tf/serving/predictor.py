"""An exported network on video files: the classes of a whole one, or of each part of a long one."""

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
from rlstm_tf.data.video import DamagedVideoError, require_readable
from rlstm_tf.data.video_views import video_views
from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import Description, load_signatures

# A batch of windows: up to so many, and of no more pixels than one of the paper's has, so that its
# network too stays below 2 GB.
_WINDOWS, _PIXELS = 16, 8 * 224 * 224

Found = TypeVar("Found")


class Ranked(NamedTuple):
    """A class, and how probable it is, 0..1."""

    label: str
    probability: float


class Prediction(NamedTuple):
    """What a network says of a video.

    Attributes:
        logits: float32 [K], before softmax.
        probabilities: float32 [K].
        frames: int64 [T], the frame that each snippet begins with.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    frames: np.ndarray


class Segment(NamedTuple):
    """Part of a video in which one class stays the most probable.

    Attributes:
        start, end: seconds since the first frame.
        probabilities: float64 [K], the mean over that time.
    """

    start: float
    end: float
    probabilities: np.ndarray


@dataclass(frozen=True)
class Network:
    """An exported network.

    Attributes:
        description: what it takes and gives.
        serve: its signature for frames.
    """

    description: Description
    serve: Callable[..., dict[str, Any]]

    @classmethod
    def load(cls, version: Path) -> Network:
        """A version of an exported network, see `exported.newest_version`.

        Raises:
            DataError: it is damaged, or cannot be loaded.
        """
        description = Description.read(version)
        signatures = load_signatures(version)
        if "serving_default" not in signatures:
            raise DataError(f"{version} is damaged: it has no signature serving_default")
        return cls(description, signatures["serving_default"])

    def scores(self, frames: np.ndarray, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities, float32 [B, K] each, of uint8 [B, T, S, S, C].

        Raises:
            DataError: they are not all finite, or the network cannot be run, as where there is
                too little memory; names `path`.
        """
        import tensorflow as tf

        try:
            outputs = self.serve(frames=tf.constant(frames))
            logits, probabilities = (outputs[name].numpy() for name in ("logits", "probabilities"))
        except tf.errors.OpError as error:
            # All of it on a line: the first says nothing but that a graph was executed.
            reason = " ".join((error.message or type(error).__name__).split())
            raise DataError(f"{path}: the network cannot be run: {reason}") from None
        if not np.isfinite(logits).all():
            raise DataError(f"{path}: the network's scores are not finite")
        return logits, probabilities

    def predict(self, path: str) -> Prediction:
        """The classes of a whole video, from the frames that `rlstm_tf.evaluate` takes of it.

        Raises:
            DataError: it is damaged, or cannot be read.
        """
        description = self.description
        views = of_file(
            path, lambda: video_views(path, description.record_format, description.input())
        )
        logits, probabilities = self.scores(views.frames, path)
        return Prediction(logits[0], probabilities[0], views.numbers[0])

    def segments(
        self,
        path: str,
        window: float,
        stride: float,
        tracked: Callable[..., Iterable[Any]] = lambda items, total, desc, unit: items,
    ) -> list[Segment]:
        """The classes of a long video, part by part; they cover it without a gap or an overlap.

        A piece of a stride has the mean probabilities of all windows that show the whole of it, and
        pieces with the same class in front are one segment.

        Args:
            path: of a local file.
            window: length of a window, seconds.
            stride: from the start of a window to the start of the next, seconds.
            tracked: gives back the iterable that it is given, with how many items it seems to have,
                0 = unknown; what is done, and the unit: see `rlstm_tf.cli.terminal.progress_bar`.

        Raises:
            DataError: it is damaged, or cannot be read.
        """
        record_format, config = self.description.record_format, self.description.input()

        def scan(items: Iterable[Any], total: int) -> Iterable[Any]:
            return tracked(items, total, "scan", "frames")

        def attempt() -> list[Segment]:
            times = timeline.frame_times(path, record_format.short_side, scan)
            try:
                timeline.check_num_windows(times.end, stride)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            bounds = timeline.windows(times.end, window, stride)
            numbers = timeline.window_snippets(times, bounds, config)
            views = timeline.window_views(path, record_format, config, numbers)
            shown = tracked(views, len(bounds), "predict", "windows")
            scores = self._in_batches(shown, path)
            parts = timeline.pieces(times.end, stride)
            return merged(parts, averaged(scores, timeline.covering_windows(bounds, parts)))

        return of_file(path, attempt)

    def _in_batches(self, views: Iterable[np.ndarray], path: str) -> Iterator[np.ndarray]:
        size = self.description.num_segments * self.description.image_size**2
        count = min(_WINDOWS, max(1, _PIXELS // size))
        remaining = iter(views)
        while batch := list(islice(remaining, count)):
            yield from self.scores(np.stack(batch), path)[1]


def of_file(path: str, look: Callable[[], Found]) -> Found:
    """What a function finds in a video file, whatever is wrong with that in one line.

    Args:
        path: of the file.
        look: may raise DamagedVideoError.

    Raises:
        DataError: it is no file, cannot be read, or is damaged; with the path.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', error)}") from None
    # A pipe would be waited for, and a device has no end.
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise DataError(f"{path}: is {what}; give video files")
    try:
        try:
            return look()
        except DamagedVideoError:
            # What a file system fails to give looks like damage: found again in a file that was
            # just read from end to end, it is in the file.
            require_readable(path)
            return look()
    except DamagedVideoError as error:
        raise DataError(f"{path}: {error}") from None
    except MemoryError:
        raise DataError(f"{path}: no memory to decode it") from None


def top(
    probabilities: np.ndarray, scores: np.ndarray, classes: Sequence[str], count: int = 5
) -> list[Ranked]:
    """The classes with the highest scores, at most `count`; of equal ones the first in order.

    Args:
        probabilities: [K].
        scores: [K]: logits, which still differ where probabilities are rounded to 0 or 1, or the
            probabilities.
        classes: K names.
        count: see above.
    """
    best = np.argsort(-scores, kind="stable")[:count].tolist()
    return [Ranked(classes[number], float(probabilities[number])) for number in best]


def averaged(scores: Iterable[np.ndarray], covering: np.ndarray) -> Iterator[np.ndarray]:
    """The mean scores of each piece of a video over the windows that show it.

    Args:
        scores: [K] of each window, in order.
        covering: int64 [P, 2], of `timeline.covering_windows`.

    Yields:
        float64 [K] for each piece. Only the windows of one are held.
    """
    arriving = enumerate(scores)
    held: dict[int, np.ndarray] = {}
    for first, last in covering.tolist():
        while last not in held:
            number, values = next(arriving)
            held[number] = values
        held = {number: values for number, values in held.items() if number >= first}
        yield np.stack([held[number] for number in range(first, last + 1)]).mean(
            axis=0, dtype=float
        )


def merged(parts: np.ndarray, probabilities: Iterable[np.ndarray]) -> list[Segment]:
    """Neighbouring pieces with the same most probable class as one segment each.

    Args:
        parts: float64 [P, 2], start and end of each piece, seconds.
        probabilities: [K] of each.
    """
    found: list[Segment] = []
    for (start, end), values in zip(parts.tolist(), probabilities):
        before = found[-1] if found else None
        if before is None or before.probabilities.argmax() != values.argmax():
            found.append(Segment(start, end, values))
            continue
        weights = before.end - before.start, end - start
        mean = np.average([before.probabilities, values], axis=0, weights=weights)
        found[-1] = Segment(before.start, end, mean)
    return found
