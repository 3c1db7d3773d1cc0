"""The loss of a training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def cross_entropy(
    logits: Any,
    labels: Any,
    class_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """Computes the cross-entropy of each video.

    Args:
        logits: float32 `[B, classes]`.
        labels: class of each video, int32 `[B]`.
        class_weights: factors on the loss of each class, `[classes]`; None = 1.
        label_smoothing: share of a label that is spread evenly over all classes, its own included
            (Szegedy et al., arXiv 1512.00567, section 7); 0 in the paper.

    Returns:
        float32 `[B]`.
    """
    if label_smoothing:
        targets = tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        losses = keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=label_smoothing
        )
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if class_weights is not None:
        losses *= tf.gather(tf.constant(class_weights, losses.dtype), labels)
    return losses
