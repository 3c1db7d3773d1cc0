"""Learned positions: sums, sizes, precision, what they refuse."""

import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf.layers import PositionEmbedding


def test_sums():
    """Each snippet and each place has a vector of its own."""
    layer = PositionEmbedding()
    X = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype("float32")
    layer.build(X.shape)
    time = np.arange(3 * 6, dtype="float32").reshape(3, 1, 1, 6)
    space = np.linspace(-1, 1, 4 * 5 * 6, dtype="float32").reshape(4, 5, 6)
    layer.set_weights([time, space])
    found = np.asarray(layer(X))
    assert found.shape == X.shape
    np.testing.assert_allclose(
        found[1, 2, 3, 1], X[1, 2, 3, 1] + time[2, 0, 0] + space[3, 1], rtol=1e-6
    )
    np.testing.assert_allclose(found, X + time + space, rtol=1e-6)


def test_initial_weights():
    layer = PositionEmbedding()
    layer.build((None, 8, 7, 7, 100))
    shapes = [tuple(weight.shape) for weight in layer.weights]
    assert shapes == [(8, 1, 1, 100), (7, 7, 100)]
    for weight in layer.get_weights():
        assert np.std(weight) == pytest.approx(0.02, rel=0.1)
    # Drawn apart, not the same numbers twice.
    time, space = layer.get_weights()
    assert np.abs(time[:7, 0, 0] - space[0]).max() > 0.01


def test_mixed_precision():
    layer = PositionEmbedding(dtype="mixed_bfloat16")
    found = layer(np.ones((1, 2, 2, 2, 3), "float32"))
    assert tf.as_dtype(found.dtype) == tf.bfloat16
    assert {weight.dtype.name for weight in layer.get_weights()} == {"float32"}


@pytest.mark.parametrize("shape", [(None, 8, 7, 7), (None, None, 7, 7, 4), (None, 8, None, 7, 4)])
def test_unknown_sizes_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes maps \[batch, T, H, W, C\] .* Received: "):
        PositionEmbedding().build(shape)
