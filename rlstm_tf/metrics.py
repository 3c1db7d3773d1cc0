"""What a set of scores is worth. The definitions are scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score


def summarize(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Metrics of single-label scores.

    Args:
        labels: `[V]`, whole numbers.
        logits: `[V, classes]`.

    Returns:
        `loss` (mean cross-entropy, nats), `accuracy` (share of videos), `mean_class_accuracy`
        (mean over the classes that have a video) and `videos`.
    """
    predicted = logits.argmax(axis=1)
    log_p = log_softmax(logits.astype(np.float64), axis=1)
    with warnings.catch_warnings():
        # That a class is predicted which has no video here is no news.
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        mean_class_accuracy = balanced_accuracy_score(labels, predicted)
    return {
        "loss": float(-log_p[np.arange(len(labels)), labels].mean()),
        "accuracy": float(accuracy_score(labels, predicted)),
        "mean_class_accuracy": float(mean_class_accuracy),
        "videos": len(labels),
    }
