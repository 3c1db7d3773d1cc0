"""Metrics on cases small enough to do by hand."""

import numpy as np
import pytest

from rlstm_tf.metrics import summarize


def test_by_hand():
    labels = np.array([0, 0, 0, 1])
    logits = np.array([[2.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    result = summarize(labels, logits)
    right = np.log(np.exp(2) / (np.exp(2) + 2))
    wrong = np.log(1 / (np.exp(2) + 2))
    assert result["videos"] == 4
    assert result["accuracy"] == 0.5
    assert result["mean_class_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert result["loss"] == pytest.approx(-(2 * right + 2 * wrong) / 4)


def test_large_logits_do_not_overflow():
    result = summarize(np.array([1]), np.array([[1e4, -1e4]]))
    assert result["loss"] == pytest.approx(2e4)
