"""Metrics of scores, by scikit-learn's definitions."""

from __future__ import annotations

import warnings

import numpy as np
import sklearn.metrics
from scipy.special import log_softmax


def compute_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Computes the metrics of a set of V videos; the first one ranks results.

    Args:
        labels: int `[V]`; or bool `[V, classes]` where a video has any number of labels.
        logits: `[V, classes]`, before softmax.

    Returns:
        For one label per video: `accuracy` and `mean_class_accuracy` (0..1; the mean is over the
        classes that have videos), `loss` (mean cross-entropy, nats) and `videos`. Otherwise `map`
        (mean of `average_precisions`), `classes` (number of classes in the mean) and `videos`.

    Raises:
        FloatingPointError: a score is not finite.
    """
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise FloatingPointError(f"the scores of {bad} of {len(logits)} videos are not finite")
    if labels.ndim == 2:
        precisions = average_precisions(labels, logits)
        counted = precisions[~np.isnan(precisions)]
        return {
            "map": float(counted.mean()) if len(counted) else float("nan"),
            "classes": len(counted),
            "videos": len(labels),
        }
    predicted = logits.argmax(axis=1)
    with warnings.catch_warnings():
        # A predicted class may have no video in the set.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        mean_class_accuracy = sklearn.metrics.balanced_accuracy_score(labels, predicted)
    return {
        "accuracy": float(sklearn.metrics.accuracy_score(labels, predicted)),
        "mean_class_accuracy": float(mean_class_accuracy),
        "loss": float(video_losses(labels, logits).mean()),
        "videos": len(labels),
    }


def video_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Computes the cross-entropy of each video, or its mean over the labels of the video.

    Args:
        labels: int `[V]` or bool `[V, classes]`.
        logits: `[V, classes]`, before softmax.

    Returns:
        float64 `[V]`, nats; NaN for a video without a label.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    if labels.ndim == 1:
        return -log_p[np.arange(len(labels)), labels]
    count = labels.sum(axis=1)
    total = -np.where(labels, log_p, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(labels), np.nan), where=count > 0)


def average_precisions(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Computes the average precision of each class, as the official program of Charades does.

    Videos are ranked by their score of the class; the average is over the precisions at the videos
    that have the label. The official program scores videos without any label minus infinity, where
    they change no precision, so they are left out here. Videos with equal scores share a rank (the
    official program keeps the order of its input).

    Args:
        labels: bool `[V, classes]`.
        logits: `[V, classes]`.

    Returns:
        float64 `[classes]`, 0..1; NaN for a class without a video.
    """
    labeled = labels.any(axis=1)
    present = labels.any(axis=0)
    precisions = np.full(labels.shape[1], np.nan)
    if present.any():
        precisions[present] = sklearn.metrics.average_precision_score(
            labels[labeled][:, present], logits[labeled][:, present], average=None
        )
    return precisions


def class_scores(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Computes the score of each class: the share of its videos that are right, or its AP.

    Args:
        labels: int `[V]`; or bool `[V, classes]`, for `average_precisions`.
        logits: `[V, classes]`.

    Returns:
        float64 `[classes]`, 0..1; NaN for a class without a video.
    """
    if labels.ndim == 2:
        return average_precisions(labels, logits)
    counts = confusion_matrix(labels, logits)
    videos = counts.sum(axis=1)
    return np.divide(counts.diagonal(), videos, out=np.full(len(counts), np.nan), where=videos > 0)


def confusion_matrix(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Counts the videos of each true class (row) by predicted class (column).

    Args:
        labels: int `[V]`.
        logits: `[V, classes]`.

    Returns:
        int64 `[classes, classes]`.
    """
    classes = np.arange(logits.shape[1])
    return sklearn.metrics.confusion_matrix(labels, logits.argmax(axis=1), labels=classes)
