"""Numbers behind the figures: by class, between classes, between two results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from rlstm_tf.evaluation.metrics import average_precisions, confusion_matrix
from rlstm_tf.reporting.results import MAP, Result


def per_class(result: Result) -> np.ndarray:
    """Computes the accuracy of each class; for multi-label results its average precision.

    Returns:
        float64 [K], 0..1; NaN for a class without a video.
    """
    if result.measure == MAP:
        return average_precisions(result.scores.labels, result.scores.logits)
    counts = confusion_matrix(result.scores.labels, result.scores.logits)
    # 0 / 0 for a class without a video.
    with np.errstate(invalid="ignore"):
        return counts.diagonal() / counts.sum(axis=1)


def videos_per_class(result: Result) -> np.ndarray:
    """Counts the videos of each class: int64 [K]."""
    if result.measure == MAP:
        return result.scores.labels.sum(axis=0)
    return np.bincount(result.scores.labels, minlength=len(result.scores.classes))


def confusion(result: Result) -> np.ndarray:
    """Computes the share of the videos of class i (row) predicted as class j: float64 [K, K].

    The row of a class without a video is 0.
    """
    counts = confusion_matrix(result.scores.labels, result.scores.logits)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def gains(ours: Result, other: Result, count: int = 10) -> list[tuple[int, float]]:
    """Finds the classes in which one result exceeds another most (figure 3).

    Args:
        ours, other: results on the same videos.
        count: maximum number of classes.

    Returns:
        Class and gain (difference of `per_class`), the largest first; ties go to the first class.
    """
    # Rounded, so that 2/3 - 1/3 and 1 - 2/3 are equal.
    gain = np.round(per_class(ours) - per_class(other), 9)
    order = np.argsort(-gain, kind="stable")
    return [(int(k), float(gain[k])) for k in order if not np.isnan(gain[k])][:count]


def choose_videos(ours: Result, other: Result, count: int = 6) -> list[int]:
    """Chooses the videos of figure 4.

    Videos that only `ours` has right come first, then those that only `other` has right, those that
    both have wrong, and the rest; each group takes one of every class before a second of any.

    Args:
        ours, other: results with their videos in the same order.
        count: maximum number of videos.

    Returns:
        Positions in the results.
    """
    right = ours.scores.logits.argmax(axis=1) == ours.scores.labels
    other_right = other.scores.logits.argmax(axis=1) == other.scores.labels
    kind = np.select(
        [right & ~other_right, ~right & other_right, ~right & ~other_right], [0, 1, 2], 3
    )
    videos = pd.DataFrame({"kind": kind, "label": ours.scores.labels})
    videos["turn"] = videos.groupby(["kind", "label"]).cumcount()
    return videos.sort_values(["kind", "turn", "label"]).index[:count].tolist()


def top(result: Result, video: int, count: int = 5) -> list[tuple[int, float]]:
    """Returns the most probable classes of a video, with the softmax of their logits."""
    probability = softmax(result.scores.logits[video].astype(np.float64))
    order: Sequence[int] = np.argsort(-probability, kind="stable")[:count].tolist()
    return [(k, float(probability[k])) for k in order]
