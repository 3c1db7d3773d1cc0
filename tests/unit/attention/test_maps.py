"""Attention maps against NumPy written from eq. 2 and 3."""

import dataclasses

import keras
import numpy as np
import pytest
import reference
from relational_layers import operations_of

from rlstm_tf.attention.maps import compute_attention_maps
from rlstm_tf.choices import RELATIONAL
from rlstm_tf.errors import UsageError
from rlstm_tf.layers.relational_lstm_cell import GATES, PAIRWISE
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import MODELS, build_model

T, SIZE = 3, 32
TINY = ModelConfig(backbone="tiny_resnetv2", weights="none", image_size=SIZE, batch_norm="batch")


def network(seed=0, **changes):
    """Returns a small network with random weights, and a clip for it."""
    config = dataclasses.replace(TINY, num_segments=T, units=5, **changes)
    keras.utils.set_random_seed(seed)
    model = build_model(config, 4)
    rng = np.random.default_rng(seed)
    cell = model.get_layer("relational_lstm").cell
    cell.set_weights([rng.normal(scale=0.4, size=w.shape) for w in cell.get_weights()])
    channels = changes.get("channels", 3)
    return model, rng.integers(0, 256, (T, SIZE, SIZE, channels), dtype=np.uint8)


def stages(model, frames):
    """Returns X_1 ... X_T `[T, H, W, C]` and H_T `[H, W, units]` of the model."""
    layer = model.get_layer("relational_lstm")
    X, H = keras.Model(model.input, [layer.input, layer.output])(frames[None])
    return (np.asarray(x, np.float64)[0] for x in (X, H))


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("name", RELATIONAL)
def test_weights_equal_eq_2(name, pairwise):
    model, frames = network(model=name, pairwise=pairwise, attention_scale=0.3)
    found = compute_attention_maps(model, frames)
    X, _ = stages(model, frames)
    X = X.reshape(T, -1, X.shape[-1])
    cell = model.get_layer("relational_lstm").cell
    operations = operations_of(cell)
    options = {"pairwise": pairwise, "scale": 0.3}
    H = c = np.zeros((X.shape[1], 5))
    for t in range(T):
        for number, gate in enumerate(GATES):
            for kind, source, y in (("spatial", "x", X[t]), ("temporal", "h", H)):
                _, w = reference.non_local(X[t], y, operations[gate + source], **options)
                np.testing.assert_allclose(getattr(found, kind)[t, number], w, atol=1e-5)
        H, c = reference.step(X[t], H, c, operations, **options)
    assert found.map_shape == (4, 4)
    assert found.are_shares == (pairwise == "embedded_gaussian")
    if found.are_shares:
        np.testing.assert_allclose(found.spatial.sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_allclose(found.temporal.sum(axis=-1), 1, atol=1e-5)
        # phi(H_0) is the bias: all positions are equal.
        np.testing.assert_allclose(found.temporal[0], 1 / 16, atol=1e-6)
    elif pairwise == "dot_product":
        assert found.temporal.min() < 0


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_weights_reproduce_the_last_state(pairwise):
    """Computes H_T by eq. 3 from the returned weights."""
    model, frames = network(seed=1, pairwise=pairwise)
    found = compute_attention_maps(model, frames)
    X, expected = stages(model, frames)
    X = X.reshape(T, -1, X.shape[-1])
    operations = operations_of(model.get_layer("relational_lstm").cell)
    H = C = np.zeros((X.shape[1], 5))
    for t in range(T):
        r = []
        for number, gate in enumerate(GATES):
            g_x = reference.embed(X[t], operations[gate + "x"]["g"])
            g_h = reference.embed(H, operations[gate + "h"]["g"])
            r.append(found.spatial[t, number] @ g_x + found.temporal[t, number] @ g_h)
        i, f, o = (reference.sigmoid(gate) for gate in r[:3])
        C = f * C + i * np.tanh(r[3])
        H = o * np.tanh(C)
    np.testing.assert_allclose(H, expected.reshape(H.shape), atol=1e-5)


def test_logits_equal_those_of_the_network():
    model, frames = network(channels=6)
    expected = np.asarray(model(frames[None]))[0]
    np.testing.assert_allclose(compute_attention_maps(model, frames).logits, expected, atol=1e-6)


def test_peak_has_the_largest_weights():
    model, frames = network()
    found = compute_attention_maps(model, frames)
    spatial = found.spatial.copy()
    spatial[0, :, 2] = 9.0  # the first snippet has no past
    spatial[2, :, 7] = 3.0
    changed = dataclasses.replace(found, spatial=spatial)
    assert changed.peak() == (2, 7)
    spatial[1, :, 2] = 2.0
    assert changed.peak(2) == (1, 2)


def test_mixed_precision():
    """Computes the weights in the variables' precision, from X in the network's."""
    model, frames = network()
    expected = compute_attention_maps(model, frames)
    weights = model.get_weights()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, _ = network()
        model.set_weights(weights)
        found = compute_attention_maps(model, frames)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert found.spatial.dtype == found.logits.dtype == np.float32
    assert np.abs(found.spatial - expected.spatial).mean() < 0.02
    np.testing.assert_allclose(found.temporal.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(RELATIONAL)))
def test_networks_without_relational_lstm_are_refused(name):
    model = build_model(dataclasses.replace(TINY, model=name, num_segments=2), 2)
    with pytest.raises(UsageError, match=f"{name} has no Relational LSTM.*two_branch or rlstm"):
        compute_attention_maps(model, np.zeros((2, SIZE, SIZE, 3), np.uint8))
