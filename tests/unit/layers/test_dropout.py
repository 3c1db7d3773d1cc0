"""Dropout as a function of position."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf.models.dropout import Dropout, dropout_seed


def dropped(seed, *position, name="dropout", rate=0.25, dtype="float32", training=True):
    with dropout_seed(seed, *position):
        x = tf.ones((64, 64), dtype)
        return np.asarray(Dropout(rate, name=name, dtype=dtype)(x, training=training))


def test_the_same_position_drops_the_same():
    first = dropped(3, 5, 0)
    np.testing.assert_array_equal(dropped(3, 5, 0), first)
    for other in (dropped(4, 5, 0), dropped(3, 6, 0), dropped(3, 5, 1), dropped(3, 5, 0, name="b")):
        # Two independent masks agree in 0.75^2 + 0.25^2 of the elements.
        assert abs((other == first).mean() - 0.625) < 0.05
    assert abs((first == 0).mean() - 0.25) < 0.03
    np.testing.assert_allclose(first[first != 0], 1 / 0.75, rtol=1e-6)


def test_noise_shape():
    """Drops whole examples, as EfficientNet does."""
    layer = Dropout(0.5, noise_shape=(None, 1, 1, 1), name="drop")
    with dropout_seed(3, 5, 0):
        first, second = (np.asarray(layer(tf.ones((64, 2, 3, 4)), training=True)) for _ in "ab")
    np.testing.assert_array_equal(first, second)
    assert {tuple(np.unique(example)) for example in first} == {(0.0,), (2.0,)}


def test_traced_with_the_step_as_an_input():
    layer = Dropout(0.5, name="dropout")
    layer(tf.ones((1, 1)))

    @tf.function
    def step(number):
        with dropout_seed(3, number, 0):
            return layer(tf.ones((64, 64)), training=True)

    for number in (5, 6):
        expected = dropped(3, number, 0, rate=0.5)
        np.testing.assert_array_equal(step(tf.constant(number, tf.int64)), expected)


@pytest.mark.parametrize("options", [{"training": False}, {"rate": 0.0}])
def test_drops_nothing(options):
    np.testing.assert_array_equal(dropped(3, 5, **options), np.ones((64, 64)))


def test_half_precision():
    values = dropped(3, 5, dtype="float16")
    assert values.dtype == np.float16
    assert set(np.unique(values)) == {np.float16(0), np.float16(4 / 3)}


def test_without_a_seed_it_is_that_of_keras(tmp_path):
    """A user compiles, fits, saves and loads a model with it."""
    inputs = keras.Input((64,))
    model = keras.Model(inputs, Dropout(0.5, seed=1)(inputs))
    x = np.ones((32, 64), "float32")
    a, b = (np.asarray(model(x, training=True)) for _ in range(2))
    assert (a != b).any()
    assert set(np.unique(a)) == {0.0, 2.0}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[-1], Dropout)
    np.testing.assert_array_equal(loaded(x), x)
