"""The Relational LSTM behind and inside Keras's own layers: masks, stacks of cells, states."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from relational_layers import UNITS, layer_and_input, operations_of

from rlstm_tf.compat import KERAS_3
from rlstm_tf.layers import RelationalLSTM, RelationalLSTMCell


def padded(T=5):
    """A layer, maps of which some steps are zero, and the mask of these."""
    layer, X = layer_and_input(T, return_sequences=True)
    mask = np.ones((2, T), bool)
    mask[0, 3:] = mask[1, 1] = False
    X[~mask] = 0.0
    X[1, 2, 0, 1] = 0.0  # one position of a map that counts
    return layer, X, mask


def expected(layer, X, mask=None):
    frames = X.reshape(*X.shape[:2], -1, X.shape[-1])
    H, _ = reference.relational_lstm(frames, operations_of(layer.cell), UNITS, mask=mask)
    return H.astype("float32").reshape(*X.shape[:-1], UNITS)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
@pytest.mark.parametrize("T", [5, None])
def test_masking_layer(unroll, T):
    """A step is skipped where all of its map is masked."""
    layer, X, mask = padded()
    copy = RelationalLSTM.from_config({**layer.get_config(), "unroll": unroll and T is not None})
    model = keras.Sequential([keras.Input((T, *X.shape[2:])), keras.layers.Masking(), copy])
    model.set_weights(layer.get_weights())
    np.testing.assert_allclose(model(X), expected(layer, X, mask), atol=1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected(layer, X, mask), atol=1e-5)


def test_masking_layer_before_positions():
    layer, X = layer_and_input(4, maps=(2, 3))
    lines = X.reshape(2, 4, 6, 5)
    lines[0, 2:] = 0.0
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    model = keras.Sequential([keras.layers.Masking(), RelationalLSTM(UNITS)])
    model.build(lines.shape)
    model.set_weights(layer.get_weights())
    H = expected(layer, X, mask)[:, -1]
    np.testing.assert_allclose(np.reshape(model(lines), H.shape), H, atol=1e-5)


def test_outputs_have_a_mask_of_steps():
    """The next Relational LSTM, or a mean over time, skips the steps too."""
    first, X, mask = padded()
    second = RelationalLSTM(UNITS, return_sequences=True)
    found = keras.Sequential([keras.layers.Masking(), first, second])(X)
    H = expected(second, expected(first, X, mask), mask)
    np.testing.assert_allclose(found, H, atol=1e-5)
    positions = tf.constant(np.any(X != 0, axis=-1))
    for given in (tf.constant(mask), positions):
        np.testing.assert_array_equal(second.compute_mask(X, given), mask)
    assert RelationalLSTM(UNITS).compute_mask(X, positions) is None
    states = RelationalLSTM(UNITS, return_sequences=True, return_state=True)
    found = states.compute_mask(X, positions)
    np.testing.assert_array_equal(found[0], mask)
    assert list(found[1:]) == [None, None]


def stack_and_layers(**kwargs):
    """`RNN([cell, cell])`, built, two layers with its weights, and an input."""
    X = np.random.default_rng(5).normal(size=(2, 3, 2, 3, 5)).astype("float32")
    stack = keras.layers.RNN([RelationalLSTMCell(UNITS) for _ in range(2)], **kwargs)
    stack(X)
    layers = [RelationalLSTM(UNITS, return_sequences=True, return_state=True) for _ in range(2)]
    for layer, cell, channels in zip(layers, stack.cell.cells, (5, UNITS)):
        layer.build((*X.shape[:-1], channels))
        layer.set_weights(cell.get_weights())
    return stack, layers, X


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_stack_of_cells_equals_layers(return_sequences, unroll):
    stack, layers, X = stack_and_layers(return_sequences=return_sequences, unroll=unroll)
    H = layers[1](layers[0](X)[0])[0]
    np.testing.assert_allclose(stack(X), H if return_sequences else H[:, -1], atol=1e-6)


def test_stack_of_cells_returns_all_states():
    stack, layers, X = stack_and_layers(return_state=True)
    H, *states = layers[0](X)
    last, *more = layers[1](H)
    found = tf.nest.flatten(stack(X))
    for actual, wanted in zip(found, [last[:, -1], *states, *more]):
        np.testing.assert_allclose(actual, wanted, atol=1e-6)


def test_stack_of_cells_saved_and_loaded(tmp_path):
    X = np.random.default_rng(6).normal(size=(2, 3, 2, 3, 5)).astype("float32")
    inputs = keras.Input((None, *X.shape[2:]))
    stack = keras.layers.RNN([RelationalLSTMCell(UNITS) for _ in range(3)])
    model = keras.Model(inputs, stack(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert model(X).shape == (2, 2, 3, UNITS)
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_stateful_in_other_precisions(policy):
    policy = policy if KERAS_3 else keras.mixed_precision.Policy(policy)
    layer, X = layer_and_input(T=4, dtype=policy)
    stateful = RelationalLSTM(UNITS, stateful=True, dtype=policy)
    stateful.build((2, 2, *X.shape[2:]))
    stateful.set_weights(layer.get_weights() + stateful.get_weights()[4:])
    for _ in range(2):
        stateful(X[:, :2])
        H = stateful(X[:, 2:])
        np.testing.assert_array_equal(tf.cast(H, "float64"), tf.cast(layer(X), "float64"))
        stateful.reset_states()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_initial_states_are_cast(policy):
    policy = policy if KERAS_3 else keras.mixed_precision.Policy(policy)
    layer, X = layer_and_input(dtype=policy)
    states = [tf.ones((2, 2, 3, UNITS))] * 2
    H = layer(X, initial_state=states)
    cast = layer(X, initial_state=[tf.cast(state, H.dtype) for state in states])
    np.testing.assert_array_equal(tf.cast(H, "float32"), tf.cast(cast, "float32"))
