"""What a set of scores is worth. The definitions are scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score


def compute_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Metrics of scores before softmax; the first is the one that counts.

    Args:
        labels: `[V]`, whole numbers; or `[V, classes]`, True for each label of a video.
        logits: `[V, classes]`.

    Returns:
        One label a video: `accuracy` (share of videos), `mean_class_accuracy` (mean over the
        classes that have a video), `loss` (mean cross-entropy, nats) and `videos`. Any number of
        labels: `map` (see `average_precisions`), `classes` that it is the mean over, and `videos`.

    Raises:
        FloatingPointError: a score is no number.
    """
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise FloatingPointError(f"the scores of {bad} of {len(logits)} videos are no numbers")
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
        # That a class is predicted which has no video here is no news.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        mean_class_accuracy = balanced_accuracy_score(labels, predicted)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "mean_class_accuracy": float(mean_class_accuracy),
        "loss": float(video_losses(labels, logits).mean()),
        "videos": len(labels),
    }


def video_losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Cross-entropy of each video, nats; of several labels the mean over them.

    Args:
        labels: as in `compute_metrics`.
        logits: `[V, classes]`.

    Returns:
        float64 `[V]`; NaN where a video has no label.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    if labels.ndim == 1:
        return -log_p[np.arange(len(labels)), labels]
    count = labels.sum(axis=1)
    total = -np.where(labels, log_p, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(labels), np.nan), where=count > 0)


def average_precisions(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Average precision of every class, as the official measure of Charades has it.

    The videos are ranked by their score of the class; the precision at each video that has the
    label is averaged. A video without any label takes part with scores of minus infinity: it comes
    after every video that has one, where it changes no precision that is averaged, and so it is
    left out. Videos of equal score share a rank (the official program ranks them in the order of
    its input).

    Args:
        labels: `[V, classes]`, True for each label of a video.
        logits: `[V, classes]`.

    Returns:
        float64 `[classes]`; NaN where no video has the class.
    """
    labelled = labels.any(axis=1)
    present = labels.any(axis=0)
    precisions = np.full(labels.shape[1], np.nan)
    if present.any():
        precisions[present] = average_precision_score(
            labels[labelled][:, present], logits[labelled][:, present], average=None
        )
    return precisions
