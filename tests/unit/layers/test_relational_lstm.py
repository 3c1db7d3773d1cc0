"""The Relational LSTM against NumPy written from eq. 3."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from relational_layers import UNITS, flat, layer_and_input, operations_of

from rlstm_tf.layers import RelationalLSTM, RelationalLSTMCell
from rlstm_tf.layers.relational_lstm_cell import GATES, PAIRWISE


def expected(layer, X, **kwargs):
    """H_1 ... H_T and C_T, with the maps of X flattened as the paper does."""
    cell = layer.cell
    return reference.relational_lstm(
        X.reshape(*X.shape[:2], -1, X.shape[-1]),
        operations_of(cell),
        UNITS,
        pairwise=cell.pairwise,
        scale=cell.attention_scale,
        **kwargs,
    )


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
@pytest.mark.parametrize("T", [1, 2, 5, 12])
def test_is_eq_3(T, unroll, traced):
    layer, X = layer_and_input(T, seed=T, unroll=unroll, return_sequences=True, return_state=True)
    call = tf.function(layer) if traced else layer
    H, last_H, last_C = call(X)
    expected_H, expected_C = expected(layer, X)
    np.testing.assert_allclose(flat(H), expected_H, atol=1e-5)
    np.testing.assert_allclose(flat(last_H), expected_H[:, -1], atol=1e-5)
    np.testing.assert_allclose(flat(last_C), expected_C, atol=1e-5)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_pairwise_functions(pairwise, scale):
    layer, X = layer_and_input(pairwise=pairwise, attention_scale=scale)
    np.testing.assert_allclose(flat(layer(X)), expected(layer, X)[0][:, -1], atol=1e-5)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_shared_embeddings(unroll, pairwise):
    """The same equation, with theta and phi that four gates have in common."""
    layer, X = layer_and_input(embeddings="shared", unroll=unroll, pairwise=pairwise)
    np.testing.assert_allclose(flat(layer(X)), expected(layer, X)[0][:, -1], atol=1e-5)
    cell, H = layer.cell, np.ones((2, 2, 3, UNITS), "float32")
    assert cell.kernel.shape == (5, 7 * UNITS)
    assert cell.recurrent_kernel.shape == (UNITS, 5 * UNITS)
    for weights in cell.weights_of(X[:, 0], H):
        assert weights.shape == (2, 4, 6, 6)
    drawn = [[cell.embedding(role, gate)[0] for gate in "if"] for role in ("theta_h", "g_h")]
    assert [np.array_equal(*pair) for pair in drawn] == [True, False]


@pytest.mark.parametrize("maps", [(1, 1), (1, 7), (4, 2), (6,)])
def test_maps_of_any_shape(maps):
    layer, X = layer_and_input(maps=maps)
    H = layer(X)
    assert H.shape == (2, *maps, UNITS)
    N = int(np.prod(maps))
    result = expected(layer, X)[0][:, -1]
    np.testing.assert_allclose(np.asarray(H).reshape(2, N, UNITS), result, atol=1e-5)


def test_constant_weights():
    """All weights zero but the biases of g: every attention is even, every gate sigmoid(1)."""
    layer = RelationalLSTM(1, kernel_initializer="zeros")
    X = np.ones((1, 2, 1, 2, 3), "float32")
    layer.build(X.shape)
    for gate in GATES:
        first = (2 * len(GATES)) + GATES.index(gate)  # g_x stands third among the roles
        bias = np.asarray(layer.cell.bias).copy()
        bias[first] = 1.0
        layer.cell.bias.assign(bias)
    s, g = reference.sigmoid(1.0), np.tanh(1.0)
    C_1 = s * g
    C_2 = s * C_1 + s * g
    np.testing.assert_allclose(layer(X), np.full((1, 1, 2, 1), s * np.tanh(C_2)), rtol=1e-6)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_gradients_are_finite_differences(unroll):
    """In float64, for every weight and for the input."""
    layer, X = layer_and_input(T=3, maps=(1, 3), channels=3, dtype="float64", unroll=unroll)
    direction = np.random.default_rng(1).normal(size=(2, 1, 3, UNITS))

    def value(x):
        return tf.reduce_sum(layer(x) * direction)

    inputs = tf.constant(X)
    variables = list(layer.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        result = value(inputs)
    gradients = tape.gradient(result, [inputs, *variables])
    epsilon, rng = 1e-6, np.random.default_rng(2)
    for variable, gradient in zip([None, *variables], gradients):
        start = X if variable is None else np.asarray(variable).copy()
        step = rng.normal(size=start.shape)

        def at(offset, variable=variable, start=start, step=step):
            if variable is None:
                return float(value(tf.constant(start + offset * step)))
            variable.assign(start + offset * step)
            shifted = float(value(inputs))
            variable.assign(start)
            return shifted

        numeric = (at(epsilon) - at(-epsilon)) / (2 * epsilon)
        np.testing.assert_allclose(np.sum(np.asarray(gradient) * step), numeric, rtol=1e-5)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_stock_rnn_around_the_cell_gives_the_same(unroll):
    layer, X = layer_and_input(T=4, return_sequences=True)
    stock = keras.layers.RNN(RelationalLSTMCell(UNITS), return_sequences=True, unroll=unroll)
    stock(X)
    stock.set_weights(layer.get_weights())
    np.testing.assert_allclose(stock(X), layer(X), atol=1e-6)


def test_go_backwards():
    forward, X = layer_and_input(T=4, return_sequences=True)
    backward = RelationalLSTM.from_config({**forward.get_config(), "go_backwards": True})
    backward.build(X.shape)
    backward.set_weights(forward.get_weights())
    np.testing.assert_allclose(backward(X[:, ::-1]), forward(X), atol=1e-6)


def test_stateful_continues_where_it_ended():
    layer, X = layer_and_input(T=6)
    stateful = RelationalLSTM(UNITS, stateful=True)
    stateful.build((2, 3, *X.shape[2:]))
    stateful.set_weights(layer.get_weights() + stateful.get_weights()[4:])
    stateful(X[:, :3])
    np.testing.assert_allclose(stateful(X[:, 3:]), layer(X), atol=1e-5)
    stateful.reset_states()
    np.testing.assert_allclose(stateful(X[:, :3]), layer(X[:, :3]), atol=1e-5)


def test_initial_state():
    layer, X = layer_and_input()
    rng = np.random.default_rng(3)
    state = [rng.normal(size=(2, 2, 3, UNITS)).astype("float32") for _ in range(2)]
    H = layer(X, initial_state=[tf.constant(s) for s in state])
    result, _ = expected(layer, X, state=[flat(s) for s in state])
    np.testing.assert_allclose(flat(H), result[:, -1], atol=1e-5)
    inputs = [keras.Input(array.shape[1:]) for array in (X, *state)]
    model = keras.Model(inputs, layer(inputs[0], initial_state=inputs[1:]))
    np.testing.assert_allclose(model([X, *state]), H, atol=1e-6)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_mask_skips_steps(unroll):
    layer, X = layer_and_input(T=5, unroll=unroll, return_sequences=True)
    mask = np.array([[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]], bool)
    result, _ = expected(layer, X, mask=mask)
    np.testing.assert_allclose(flat(layer(X, mask=tf.constant(mask))), result, atol=1e-5)


def test_bidirectional():
    X = np.random.default_rng(4).normal(size=(2, 3, 2, 2, 5)).astype("float32")
    both = keras.layers.Bidirectional(RelationalLSTM(UNITS, return_sequences=True))
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, both(inputs))
    assert model.output_shape == (None, 3, 2, 2, 2 * UNITS)
    H = np.asarray(model(X))
    forward, _ = expected(both.forward_layer, X)
    backward, _ = expected(both.backward_layer, X[:, ::-1])
    np.testing.assert_allclose(flat(H[..., :UNITS]), forward, atol=1e-5)
    np.testing.assert_allclose(flat(H[..., UNITS:]), backward[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (3, 8, 5)])
def test_symbolic_shapes(shape, return_sequences):
    layer = RelationalLSTM(UNITS, return_sequences=return_sequences, return_state=True)
    symbolic = layer(keras.Input(shape))
    X = np.zeros((2, *shape), "float32")
    actual = layer(X)
    computed = layer.compute_output_shape(X.shape)
    for tensor, concrete, shape_of in zip(symbolic, actual, computed):
        assert tuple(tensor.shape)[1:] == tuple(concrete.shape)[1:] == tuple(shape_of)[1:]


def test_saved_and_loaded(tmp_path):
    layer, X = layer_and_input(unroll=False, pairwise="concatenation", attention_scale=0.5)
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    assert loaded.layers[-1].get_config() == layer.get_config()


def test_mixed_precision_is_near():
    layer, X = layer_and_input(T=4)
    mixed = RelationalLSTM(UNITS, dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    mixed.build(X.shape)
    mixed.set_weights(layer.get_weights())
    H = mixed(X)
    assert H.dtype == tf.bfloat16
    np.testing.assert_allclose(np.asarray(tf.cast(H, "float32")), layer(X), atol=2e-2)


def test_every_embedding_is_drawn_as_if_it_stood_alone():
    """Glorot's limit for one kernel, and no two alike, with a seed too."""
    layer = RelationalLSTM(50, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer.build((1, 2, 3, 100))
    kernels = [
        np.asarray(layer.cell.embedding(role, gate)[0])
        for role in ("theta_x", "phi_x", "g_x", "theta_h", "phi_h", "g_h")
        for gate in GATES
    ]
    for kernel in kernels:
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.98 * limit < np.abs(kernel).max() <= limit
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 24


def test_refuses():
    with pytest.raises(ValueError, match="pairwise must be one of"):
        RelationalLSTMCell(4, pairwise="gaussian")
    with pytest.raises(ValueError, match="embeddings must be one of"):
        RelationalLSTMCell(4, embeddings="tied")
    with pytest.raises(ValueError, match="H, W, N and C known"):
        RelationalLSTM(4).build((None, 3, None, None, 5))
    with pytest.raises(ValueError, match="takes X_t"):
        RelationalLSTM(4).build((None, 3, 5))
