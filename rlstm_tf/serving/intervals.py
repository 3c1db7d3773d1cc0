"""Intervals of a long video, from the scores of windows that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Interval of a video in which one class stays the most probable.

    Attributes:
        start, end: seconds since the first frame.
        probabilities: float64 [K], mean over the interval.
    """

    start: float
    end: float
    probabilities: np.ndarray


def average_windows(scores: Iterable[np.ndarray], covering: np.ndarray) -> Iterator[np.ndarray]:
    """Averages the scores of the windows that contain each piece.

    Args:
        scores: [K] of each window, in order.
        covering: int64 [P, 2], first and last window of each piece, from
            `timeline.covering_windows`.

    Yields:
        float64 [K] of each piece. Only the windows of one piece are held in memory.
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


def merge_pieces(pieces: np.ndarray, probabilities: Iterable[np.ndarray]) -> list[Interval]:
    """Merges neighboring pieces with the same most probable class.

    Args:
        pieces: float64 [P, 2], start and end of each piece, seconds.
        probabilities: [K] of each piece.
    """
    merged: list[Interval] = []
    for (start, end), values in zip(pieces.tolist(), probabilities):
        before = merged[-1] if merged else None
        if before is None or before.probabilities.argmax() != values.argmax():
            merged.append(Interval(start, end, values))
            continue
        weights = before.end - before.start, end - start
        mean = np.average([before.probabilities, values], axis=0, weights=weights)
        merged[-1] = Interval(before.start, end, mean)
    return merged
