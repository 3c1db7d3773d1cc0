"""The Relational LSTM against NumPy written from eq. 3."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from relational_layers import UNITS, flat, layer_and_input, operations_of

from rlstm_tf.compat import KERAS_3
from rlstm_tf.layers import RelationalLSTM, RelationalLSTMCell
from rlstm_tf.layers.relation import TERMS
from rlstm_tf.layers.relational_lstm_cell import GATES, PAIRWISE


def expected(layer, X, **kwargs):
    """Returns H_1 ... H_T and C_T from NumPy, with flat positions as in the paper."""
    cell = layer.cell
    return reference.relational_lstm(
        X.reshape(*X.shape[:2], -1, X.shape[-1]),
        operations_of(cell),
        UNITS,
        pairwise=cell.pairwise,
        scale=cell.attention_scale,
        map_shape=cell.map_shape,
        **kwargs,
    )


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
@pytest.mark.parametrize("T", [1, 2, 5, 12])
def test_equals_eq_3(T, unroll, traced):
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


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("terms", [(term,) for term in TERMS] + [TERMS])
def test_options_beyond_the_paper(pairwise, terms, traced):
    layer, X = layer_and_input(pairwise=pairwise, maps=(3, 4), **dict.fromkeys(terms, True))
    H = (tf.function(layer) if traced else layer)(X)
    np.testing.assert_allclose(flat(H), expected(layer, X)[0][:, -1], atol=2e-5)


def test_unit_forget_bias_opens_the_forget_gate():
    cells = [RelationalLSTMCell(UNITS, unit_forget_bias=on) for on in (False, True)]
    X = np.zeros((1, 3, 2, 5), "float32")
    for cell in cells:
        cell.build(X.shape)
    plain, raised = (np.asarray(cell.bias).reshape(-1, UNITS) for cell in cells)
    assert not plain.any()
    assert raised.sum() == UNITS
    np.testing.assert_array_equal(cells[1].embedding("g_x", "f")[1], np.ones(UNITS))
    H, C = np.zeros((1, 6, UNITS), "float32"), np.ones((1, 6, UNITS), "float32")
    r_x, theta_h = tf.unstack(cells[1].relate(X), axis=1)
    i, f, o, _ = cells[1].step(r_x, theta_h, H, C)[2]
    np.testing.assert_allclose(f, np.full(f.shape, 1 / (1 + np.exp(-1))), rtol=1e-6)
    np.testing.assert_allclose([i, o], np.full((2, *i.shape), 0.5), rtol=1e-6)
    assert RelationalLSTMCell.from_config(cells[1].get_config()).unit_forget_bias


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_options_are_saved_and_have_gradients_in_mixed_precision(policy, tmp_path):
    policy = policy if KERAS_3 else keras.mixed_precision.Policy(policy)
    layer, X = layer_and_input(maps=(3, 4), dtype=policy, **dict.fromkeys(TERMS, True))
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(model(X), "float32"))
    gradients = tape.gradient(total, model.trainable_variables)
    assert all(np.any(np.asarray(gradient)) for gradient in gradients)
    np.testing.assert_allclose(flat(model(X)), expected(layer, X)[0][:, -1], atol=0.05)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.mark.parametrize("maps", [(1, 1), (1, 7), (4, 2), (6,)])
def test_maps_of_any_shape(maps):
    layer, X = layer_and_input(maps=maps)
    H = layer(X)
    assert H.shape == (2, *maps, UNITS)
    N = int(np.prod(maps))
    result = expected(layer, X)[0][:, -1]
    np.testing.assert_allclose(np.asarray(H).reshape(2, N, UNITS), result, atol=1e-5)


def test_constant_weights():
    """Only the biases of g_x are not zero: attention is uniform, gates are sigmoid(1)."""
    layer = RelationalLSTM(1, kernel_initializer="zeros")
    X = np.ones((1, 2, 1, 2, 3), "float32")
    layer.build(X.shape)
    for gate in GATES:
        first = (2 * len(GATES)) + GATES.index(gate)  # g_x is the third block
        bias = np.asarray(layer.cell.bias).copy()
        bias[first] = 1.0
        layer.cell.bias.assign(bias)
    s, g = reference.sigmoid(1.0), np.tanh(1.0)
    C_1 = s * g
    C_2 = s * C_1 + s * g
    np.testing.assert_allclose(layer(X), np.full((1, 1, 2, 1), s * np.tanh(C_2)), rtol=1e-6)


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
@pytest.mark.parametrize("terms", [(), TERMS], ids=["paper", "options"])
def test_gradients_equal_finite_differences(unroll, terms):
    """Checks every weight and the input, in float64."""
    options = {"unroll": unroll, **dict.fromkeys(terms, True)}
    layer, X = layer_and_input(T=3, maps=(1, 3), channels=3, dtype="float64", **options)
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
def test_equals_keras_rnn_with_the_cell(unroll):
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


def test_stateful_continues_from_the_last_state():
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
    layer, X = layer_and_input(pairwise="concatenation", attention_scale=0.5)
    inputs = keras.Input(X.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    assert loaded.layers[-1].get_config() == layer.get_config()


def test_mixed_precision():
    layer, X = layer_and_input(T=4)
    mixed = RelationalLSTM(UNITS, dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    mixed.build(X.shape)
    mixed.set_weights(layer.get_weights())
    H = mixed(X)
    assert H.dtype == tf.bfloat16
    np.testing.assert_allclose(np.asarray(tf.cast(H, "float32")), layer(X), atol=2e-2)


def test_each_embedding_is_initialized_as_its_own_kernel():
    """Each has Glorot's limit for one kernel; all differ, with a seed too."""
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


def test_without_bias():
    layer, X = layer_and_input(use_bias=False, bias_initializer="ones")
    assert [w.shape for w in layer.get_weights()] == [(5, 16 * UNITS), (UNITS, 8 * UNITS)]
    np.testing.assert_allclose(flat(layer(X)), expected(layer, X)[0][:, -1], atol=1e-5)


@pytest.mark.parametrize("T", [2, 5])
def test_unknown_number_of_steps(T):
    """With a mask too."""
    layer, X = layer_and_input(T, return_sequences=True)
    frames, mask = keras.Input((None, *X.shape[2:])), keras.Input((None,), dtype="bool")
    model = keras.Model([frames, mask], layer(frames, mask=mask))
    assert model.output_shape == (None, None, 2, 3, UNITS)
    steps = np.arange(2 * T).reshape(2, T) % 3 > 0
    result, _ = expected(layer, X, mask=steps)
    np.testing.assert_allclose(flat(model([X, steps])), result, atol=1e-5)


def test_cell_computes_one_step():
    layer, X = layer_and_input(T=2, return_sequences=True)
    states = layer.cell.get_initial_state(batch_size=2)
    for t in range(2):
        H, states = layer.cell(X[:, t], states)
        np.testing.assert_allclose(H, layer(X)[:, t], atol=1e-6)
    assert type(layer.cell) is RelationalLSTMCell


def test_options_are_properties():
    layer = RelationalLSTM(
        3,
        "dot_product",
        0.5,
        use_bias=False,
        recurrent_initializer="he_normal",
        bias_constraint=abs,
    )
    assert (layer.units, layer.pairwise, layer.attention_scale) == (3, "dot_product", 0.5)
    assert not layer.use_bias
    assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
    assert isinstance(layer.recurrent_initializer, keras.initializers.HeNormal)
    assert isinstance(layer.bias_initializer, keras.initializers.Zeros)
    assert layer.bias_constraint is abs
    assert not RelationalLSTM(3).unroll


def test_initializers_regularizers_and_constraints():
    """Each applies to its own weights only."""
    ones = {"kernel_initializer": "ones", "bias_initializer": "ones"}
    layer = RelationalLSTM(
        2,
        recurrent_initializer=keras.initializers.Constant(2.0),
        kernel_regularizer=keras.regularizers.L2(1.0),
        recurrent_regularizer=keras.regularizers.L2(10.0),
        bias_regularizer=keras.regularizers.L2(100.0),
        kernel_constraint="non_neg",
        recurrent_constraint=keras.constraints.MaxNorm(1.0),
        **ones,
    )
    layer.build((1, 3, 2, 2, 5))
    cell = layer.cell
    np.testing.assert_array_equal(cell.recurrent_kernel, np.full((2, 16), 2.0))
    np.testing.assert_allclose(sum(layer.losses), 5 * 32 + 10 * 4 * 2 * 16 + 100 * (32 + 16))
    assert isinstance(cell.kernel.constraint, keras.constraints.NonNeg)
    assert isinstance(cell.recurrent_kernel.constraint, keras.constraints.MaxNorm)
    assert cell.bias.constraint is cell.recurrent_bias.constraint is None
    copy = RelationalLSTM.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_recurrent_kernel_has_the_numbers_of_the_kernel():
    """Both use one initializer by default, so a seed gives equal numbers, as in version 0.1.0."""
    keras.utils.set_random_seed(3)
    layer = RelationalLSTM(4, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer.build((1, 2, 2, 2, 4))
    cell = layer.cell
    np.testing.assert_array_equal(cell.recurrent_kernel, np.asarray(cell.kernel)[:, : 8 * 4])


def test_configuration_of_version_0_1_0():
    """`kernel_regularizer` covered both kernels, and `embeddings` could be shared."""
    old = {
        **{"name": "r", "units": 3, "pairwise": "dot_product", "attention_scale": 0.5},
        **{"embeddings": "separate", "unroll": True, "return_sequences": True},
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": 4}},
        "kernel_regularizer": {"class_name": "L2", "config": {"l2": 1.0}},
    }
    layer = RelationalLSTM.from_config(old)
    layer.build((1, 2, 2, 2, 3))
    kernels = [np.asarray(kernel) for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel)]
    np.testing.assert_allclose(sum(layer.losses), sum((k**2).sum() for k in kernels), rtol=1e-5)
    np.testing.assert_array_equal(kernels[1], kernels[0][:, :24])
    assert layer.unroll
    for kind in (RelationalLSTM, RelationalLSTMCell):
        with pytest.raises(ValueError, match="shared embeddings were removed: each gate has its"):
            kind.from_config({"units": 3, "embeddings": "shared"})


def test_invalid_arguments():
    with pytest.raises(ValueError, match="pairwise must be one of"):
        RelationalLSTMCell(4, pairwise="gaussian")
    for units in (0, -1, 2.5, None):
        with pytest.raises(ValueError, match=f"positive integer. Received: units={units}"):
            RelationalLSTM(units)
    with pytest.raises(ValueError, match="H, W, N and C known"):
        RelationalLSTM(4).build((None, 3, None, None, 5))
    with pytest.raises(ValueError, match="takes X_t"):
        RelationalLSTM(4).build((None, 3, 5))
    layer, X = layer_and_input()
    for shape in ((2,), (2, 4), (2, 3, 2), (2, 3, 3, 2), X.shape):
        with pytest.raises(ValueError, match=r"mask must be \[batch, T\] or \[batch, T, H, W\]"):
            layer(X, mask=tf.ones(shape, tf.bool))
    H_0 = tf.zeros((2, 2, 3, UNITS))
    for states in ([H_0], [H_0] * 3, H_0):
        with pytest.raises(ValueError, match=r"initial_state must be \[H_0, C_0\]"):
            layer(X, initial_state=states)
    with pytest.raises(ValueError, match="a state must end with the axes"):
        layer.cell(X[:, 0], [tf.zeros((2, 3, 2, UNITS))] * 2)


@pytest.mark.parametrize("maps", [(3, 2), (4, 3), (6,)])
def test_maps_of_another_size_are_refused(maps):
    """Their positions were once regrouped to maps of the size that was built."""
    layer, _ = layer_and_input(maps=(2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3, 5\)|2, 3, 5\), found shape|ndim=5"):
        layer(tf.zeros((2, 3, *maps, 5)))
    with pytest.raises(ValueError, match="X must end with the axes"):
        layer.cell(tf.zeros((2, *maps, 5)), layer.cell.get_initial_state(batch_size=2))
