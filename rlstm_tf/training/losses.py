"""The loss of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def cross_entropy(logits: Any, labels: Any, class_weights: np.ndarray | None = None) -> Any:
    """Computes the cross-entropy of each video.

    Args:
        logits: float32 `[B, classes]`.
        labels: class of each video, int32 `[B]`.
        class_weights: factors on the loss of each class, `[classes]`; None = 1.

    Returns:
        float32 `[B]`.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights, losses.dtype), labels)
    return losses
