"""The generalized non-local operation against NumPy written from eq. 2 and 4."""

import keras
import numpy as np
import pytest
import reference

from rlstm_tf.layers import NonLocalOperation
from rlstm_tf.layers.non_local import PAIRWISE
from rlstm_tf.layers.relation import TERMS


def operation_of(layer):
    names = [name for name in ("theta", "phi", "g") if getattr(layer, name) is not None]
    weights = {name: [np.asarray(w) for w in getattr(layer, name)] for name in names}
    for name in ("w_f", "gain", "displacement", "local_kernel"):
        if getattr(layer.relation, name) is not None:
            weights[name] = np.asarray(getattr(layer.relation, name))
    if "local_kernel" in weights:
        weights["local_kernel"] = weights["local_kernel"][..., 0]
    return weights


def randomize(layer, rng):
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_equals_eq_2(pairwise, scale):
    rng = np.random.default_rng(1)
    channels = (5, 5) if pairwise == "gaussian" else (5, 3)
    x = rng.normal(size=(2, 7, channels[0])).astype("float32")
    y = rng.normal(size=(2, 4, channels[1])).astype("float32")
    layer = NonLocalOperation(
        6, pairwise=pairwise, attention_scale=scale, bias_initializer="random_normal"
    )
    z, w = layer([x, y], return_attention_scores=True)
    for b in range(2):
        expected = reference.non_local(x[b], y[b], operation_of(layer), pairwise, scale)
        np.testing.assert_allclose(z[b], expected[0], atol=1e-5)
        np.testing.assert_allclose(w[b], expected[1], atol=1e-5)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("terms", [(term,) for term in TERMS] + [TERMS])
@pytest.mark.parametrize("maps", [(3, 4), (1, 5)])
def test_options_beyond_the_paper(pairwise, terms, maps):
    if pairwise == "gaussian" and "attention_norm" in terms:
        terms = TERMS[1:]
    rng = np.random.default_rng(6)
    x, y = (rng.normal(size=(2, *maps, 5)).astype("float32") for _ in range(2))
    layer = NonLocalOperation(6, pairwise, 0.7, **dict.fromkeys(terms, True))
    layer.build([x.shape, y.shape])
    randomize(layer, rng)
    z, w = layer([x, y], return_attention_scores=True)
    for b in range(2):
        expected = reference.non_local(
            *(maps_[b].reshape(-1, 5) for maps_ in (x, y)),
            operation_of(layer), pairwise, 0.7, map_shape=maps,
        )  # fmt: skip
        np.testing.assert_allclose(np.reshape(z[b], (-1, 6)), expected[0], atol=2e-5)
        np.testing.assert_allclose(w[b], expected[1], atol=1e-5)


def test_terms_at_first():
    """The local term is zero; the displacement is not, or products of two would never grow."""
    maps = np.random.default_rng(7).normal(size=(2, 3, 4, 5)).astype("float32")
    plain = NonLocalOperation(6)
    layer = NonLocalOperation(6, local_term=True, displacement_term=True)
    layer.build(maps.shape)
    expected = plain(maps)
    for name in ("theta", "phi", "g"):
        for variable, value in zip(getattr(layer, name), getattr(plain, name)):
            variable.assign(value)
    D = layer.relation.displacement
    assert 0.01 < np.std(D) < 0.1
    D.assign(np.zeros(D.shape))
    np.testing.assert_allclose(layer(maps), expected, atol=1e-6)


def test_constant_weights():
    """With equal keys, every position takes the mean of g for any query."""
    y = np.arange(6, dtype="float32").reshape(1, 3, 2)
    layer = NonLocalOperation(1, kernel_initializer="ones")
    layer.build([(1, 3, 2), (1, 3, 2)])
    layer.phi[0].assign(np.zeros((2, 1)))
    np.testing.assert_allclose(layer(y), np.full((1, 3, 1), 5.0), rtol=1e-6)


def test_x_only_is_the_plain_operation():
    x = np.random.default_rng(2).normal(size=(2, 5, 3)).astype("float32")
    layer = NonLocalOperation(4)
    np.testing.assert_array_equal(layer(x), layer([x, x]))


def test_maps_equal_flat_positions():
    maps = np.random.default_rng(3).normal(size=(2, 3, 5, 4)).astype("float32")
    layer = NonLocalOperation(6)
    z, w = layer(maps, return_attention_scores=True)
    assert z.shape == (2, 3, 5, 6)
    assert w.shape == (2, 15, 15)
    flat = layer(maps.reshape(2, 15, 4))
    np.testing.assert_allclose(np.asarray(z).reshape(2, 15, 6), flat, atol=1e-6)


def test_weights_sum_to_one_for_large_logits():
    x = 100 * np.random.default_rng(4).normal(size=(1, 6, 8)).astype("float32")
    _, w = NonLocalOperation(8)(x, return_attention_scores=True)
    np.testing.assert_allclose(np.sum(w, axis=-1), 1.0, rtol=1e-5)


def test_embeddings_with_a_seed_differ():
    layer = NonLocalOperation(4, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer(np.zeros((1, 2, 4), "float32"))
    assert not np.array_equal(layer.theta[0], layer.phi[0])
    assert not np.array_equal(layer.phi[0], layer.g[0])


def test_inside_a_model_saved_and_loaded(tmp_path):
    x, y = keras.Input((3, 4, 5)), keras.Input((6, 2))
    model = keras.Model([x, y], NonLocalOperation(7, pairwise="concatenation")([x, y]))
    assert model.output_shape == (None, 3, 4, 7)
    rng = np.random.default_rng(5)
    inputs = [rng.normal(size=(2, *t.shape[1:])).astype("float32") for t in (x, y)]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("shape", [(None, None, 5), (3, None, 5), (None, 5)])
def test_unknown_number_of_positions(shape, pairwise):
    layer = NonLocalOperation(4, pairwise)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs, return_attention_scores=True))
    X = np.random.default_rng(8).normal(size=(2, *(size or 4 for size in shape))).astype("float32")
    Z, w = model(X)
    assert model.output_shape[0] == (None, *shape[:-1], 4)
    for b in range(2):
        x = X[b].reshape(-1, 5)
        expected = reference.non_local(x, x, operation_of(layer), pairwise)
        np.testing.assert_allclose(np.reshape(Z[b], (-1, 4)), expected[0], atol=1e-5)
        np.testing.assert_allclose(w[b], expected[1], atol=1e-5)


@pytest.mark.parametrize("T", [3, None])
def test_time_distributed(T):
    layer = NonLocalOperation(4)
    model = keras.Sequential([keras.Input((T, 2, 3, 5)), keras.layers.TimeDistributed(layer)])
    X = np.random.default_rng(9).normal(size=(2, 3, 2, 3, 5)).astype("float32")
    assert model.output_shape == (None, T, 2, 3, 4)
    for t in range(3):
        np.testing.assert_allclose(model(X)[:, t], layer(X[:, t]), atol=1e-6)
    assert tuple(layer.compute_output_shape((None, 2, 3, 5))) == (None, 2, 3, 4)
    pair = NonLocalOperation(4)
    assert tuple(pair.compute_output_shape([(None, 2, 3, 5), (None, 7, 2)])) == (None, 2, 3, 4)


@pytest.mark.parametrize("term", ["local_term", "displacement_term"])
@pytest.mark.parametrize("maps", [(3, 2), (4, 3)])
def test_terms_refuse_maps_of_another_size(maps, term):
    """Their positions would be regrouped to maps of the size that was built."""
    layer = NonLocalOperation(4, **{term: True})
    built, other = np.zeros((2, 2, 3, 5), "float32"), np.zeros((2, *maps, 5), "float32")
    layer(built)
    for inputs in (other, [other, built], [built, other]):
        with pytest.raises(ValueError, match="must end with the axes"):
            layer(inputs)


def test_positional_arguments_are_those_of_before_the_options():
    layer = NonLocalOperation(4, "dot_product", 0.5, "ones", "zeros", "l2")
    assert isinstance(layer.kernel_initializer, keras.initializers.Ones)
    assert isinstance(layer.kernel_regularizer, keras.regularizers.L2)
    assert not any(getattr(layer, name) for name in TERMS)


def test_invalid_arguments():
    with pytest.raises(ValueError, match="pairwise must be one of"):
        NonLocalOperation(4, pairwise="cosine")
    with pytest.raises(ValueError, match="as many channels"):
        NonLocalOperation(4, pairwise="gaussian")([np.zeros((1, 2, 3)), np.zeros((1, 2, 4))])
    with pytest.raises(ValueError, match="takes \\[batch, N, C\\]"):
        NonLocalOperation(4)(np.zeros((1, 2, 3, 4, 5)))
    with pytest.raises(ValueError, match="pairwise='gaussian' has none"):
        NonLocalOperation(3, "gaussian", attention_norm=True)(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="local_term needs maps"):
        NonLocalOperation(4, local_term=True)(np.zeros((1, 6, 4)))
    with pytest.raises(ValueError, match="need X and Y of one size"):
        NonLocalOperation(4, displacement_term=True)(
            [np.zeros((1, 2, 3, 4)), np.zeros((1, 3, 2, 4))]
        )
