"""What the figures show, in numbers: per class, between classes, between two results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.metrics import average_precision_score, confusion_matrix

from rlstm_tf.reporting.results import MAP, Result


def per_class(result: Result) -> np.ndarray:
    """Accuracy of each class or, of multi-label results, its average precision.

    A video without any label takes part in the average precision behind all others, as in
    Charades's own measure.

    Returns:
        float64 [K], 0..1; NaN for a class without a video.
    """
    if result.measure == MAP:
        return _average_precision(result.labels, result.logits.astype(np.float64))
    right = result.logits.argmax(axis=1) == result.labels
    count = len(result.classes)
    videos = np.bincount(result.labels, minlength=count).astype(np.float64)
    # 0 / 0 where a class has no video.
    with np.errstate(invalid="ignore"):
        return np.bincount(result.labels, weights=right, minlength=count) / videos


def videos_per_class(result: Result) -> np.ndarray:
    """Number of videos that show each class: int64 [K]."""
    if result.measure == MAP:
        return result.labels.sum(axis=0)
    return np.bincount(result.labels, minlength=len(result.classes))


def confusion(result: Result) -> np.ndarray:
    """Share of the videos of class i (row) that were taken for class j: float64 [K, K].

    The row of a class without a video is 0.
    """
    names = np.arange(len(result.classes))
    predicted = result.logits.argmax(axis=1)
    return confusion_matrix(result.labels, predicted, labels=names, normalize="true")


def gains(ours: Result, other: Result, count: int = 10) -> list[tuple[int, float]]:
    """The classes in which one result exceeds another most (figure 3).

    Args:
        ours, other: of the same videos.
        count: how many classes; fewer if there are not so many with a video.

    Returns:
        Class and gain (difference of `per_class`), the largest first; of equals the first class.
    """
    # Rounded, so that 2/3 - 1/3 and 1 - 2/3 are equals.
    gain = np.round(per_class(ours) - per_class(other), 9)
    order = np.argsort(-gain, kind="stable")
    return [(int(k), float(gain[k])) for k in order if not np.isnan(gain[k])][:count]


def choose_videos(ours: Result, other: Result, count: int = 6) -> list[int]:
    """The videos that figure 4 shows: positions in the results, which have them in one order.

    First those that only `ours` has right, then those that only `other` has, then those that both
    have wrong, then the rest; among those one of every class before a second of any.
    """
    right = ours.logits.argmax(axis=1) == ours.labels
    other_right = other.logits.argmax(axis=1) == other.labels
    kind = np.select(
        [right & ~other_right, ~right & other_right, ~right & ~other_right], [0, 1, 2], 3
    )
    seen: dict[tuple[int, int], int] = {}
    keys = []
    for video, (group, label) in enumerate(zip(kind.tolist(), ours.labels.tolist())):
        turn = seen[group, label] = seen.get((group, label), -1) + 1
        keys.append((group, turn, label, video))
    return [key[-1] for key in sorted(keys)[:count]]


def top(result: Result, video: int, count: int = 5) -> list[tuple[int, float]]:
    """The most probable classes of a video, softmax over its logits: class and probability."""
    probability = softmax(result.logits[video].astype(np.float64))
    order: Sequence[int] = np.argsort(-probability, kind="stable")[:count].tolist()
    return [(k, float(probability[k])) for k in order]


def _average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    last = np.where(labels.any(axis=1, keepdims=True), scores, scores.min(axis=0) - 1)
    values = np.full(labels.shape[1], np.nan)
    for k in np.flatnonzero(labels.any(axis=0)):
        values[k] = average_precision_score(labels[:, k], last[:, k])
    return values
