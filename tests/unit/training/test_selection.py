"""The best epoch of a run."""

import math

import pytest

from rlstm_tf.training.selection import best_epoch


@pytest.mark.parametrize(
    ("name", "scores", "expected"),
    [
        ("val_accuracy", [0.2, 0.5, 0.5, 0.4], 2),
        ("val_accuracy", [0.0], 1),
        ("val_map", [math.nan, 0.1, math.nan, 0.3], 4),
        ("val_map", [math.nan], None),
        ("loss", [1.0, 0.5], None),
        ("loss", [], None),
    ],
)
def test_best_epoch(name, scores, expected):
    assert best_epoch([{name: score} for score in scores]) == expected
