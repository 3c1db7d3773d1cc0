"""Scoring a set: each video once, reduced over its views."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf.errors import DataError
from rlstm_tf.evaluation.scorer import Scorer


def test_scores_average_the_views_of_each_video_once():
    inputs = keras.Input((2, 4, 4, 3), dtype="uint8")
    flat = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(flat))
    scorer = Scorer(model, tf.distribute.get_strategy())
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 3, 2, 4, 4, 3), dtype="uint8")
    expected = np.mean([model(frames[:, view]) for view in range(3)], axis=0)
    rows = [
        {"frames": frames[[2, 0]], "video": [2, 0]},
        {"frames": frames[[1, 3]], "video": [1, -1]},
    ]
    batches = [{key: tf.constant(value) for key, value in row.items()} for row in rows]
    counts: list = []
    logits = scorer.score(batches, 3, counts.append)
    assert counts == [2, 1]
    np.testing.assert_allclose(logits, expected[:3], atol=1e-5)
    best = np.max([model(frames[:, view]) for view in range(3)], axis=0)
    highest = Scorer(model, tf.distribute.get_strategy(), "max")
    np.testing.assert_allclose(highest.score(batches, 3), best[:3], atol=1e-5)
    one_view = [{"frames": tf.constant(frames[:2, :1]), "video": tf.constant([0, 1])}]
    np.testing.assert_allclose(scorer.score(one_view, 2), model(frames[:2, 0]), atol=1e-5)
    with pytest.raises(DataError, match="saw 3 of 4 videos"):
        scorer.score(batches, 4)
    with pytest.raises(DataError, match="saw 3 of 3 videos once each"):
        scorer.score([*batches, batches[0]], 3)
