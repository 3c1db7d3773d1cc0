"""The best epoch of a run, and early stopping."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from rlstm_tf.training.callbacks import BestScores
from rlstm_tf.training.selection import best_epoch, is_exhausted


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


def test_scores_of_the_best_epoch():
    """Of equal ones, the first; none that an earlier process had."""
    state = SimpleNamespace(history=[{"val_accuracy": 0.3}], epoch=1)
    validation = SimpleNamespace(logits=np.empty((2, 0), np.float32))
    scores = BestScores(validation, state)
    found = []
    for score in (0.2, 0.5, 0.5, 0.4):
        state.history.append({"val_accuracy": score})
        state.epoch += 1
        validation.logits = np.full((2, 3), state.epoch, np.float32)
        scores.on_epoch_end(state.epoch - 1)
        found.append(scores.logits.max(initial=0))
    assert found == [0, 3, 3, 3]


def test_early_stopping_equals_keras():
    """Keras's own callback, which cannot resume, stops after the same epochs."""
    rng = np.random.default_rng(0)
    for patience in (1, 2, 3):
        scores = [float(score) for score in rng.integers(0, 6, 12)]
        callback = keras.callbacks.EarlyStopping("val_accuracy", patience=patience, mode="max")
        callback.set_model(keras.Sequential())
        callback.model.stop_training = False
        callback.on_train_begin()
        for epoch in range(12):
            history = [{"val_accuracy": score} for score in scores[: epoch + 1]]
            callback.on_epoch_end(epoch, history[-1])
            assert is_exhausted(history, patience) == callback.model.stop_training
            if callback.model.stop_training:
                break
        assert callback.model.stop_training
        assert not is_exhausted(history, None)
    assert not is_exhausted([], 1)
