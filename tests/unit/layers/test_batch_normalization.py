"""Batch normalization with population, batch and frozen statistics."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf

from rlstm_tf.layers import BatchNormalization

SHAPES = [(6, 4), (2, 3, 5, 4), (2, 3, 2, 2, 4)]


def filled(layer, shape, seed=0):
    """Builds the layer with random weights, and returns them."""
    rng = np.random.default_rng(seed)
    layer.build(shape)
    weights = [rng.normal(size=(shape[-1],)) for _ in range(3)] + [rng.uniform(0.5, 2, shape[-1])]
    layer.set_weights(weights)
    return weights


def data(shape, dtype="float32"):
    return np.random.default_rng(1).normal(1.5, 2.0, size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("statistics", ["population", "batch", "frozen"])
def test_outputs_and_updated_statistics(statistics, shape, dtype):
    x = data(shape, dtype)
    layer = BatchNormalization(
        training_statistics=statistics, momentum=0.75, epsilon=2e-3, dtype=dtype
    )
    gamma, beta, mean, variance = filled(layer, shape)
    axes = tuple(range(len(shape) - 1))
    used = (x.mean(axes), x.var(axes)) if statistics == "batch" else (mean, variance)
    result = reference.batch_normalization(x, gamma, beta, *used, 2e-3)
    np.testing.assert_allclose(layer(x, training=True), result, rtol=1e-4, atol=1e-4)
    if statistics != "frozen":
        mean, variance = 0.75 * mean + 0.25 * x.mean(axes), 0.75 * variance + 0.25 * x.var(axes)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)
    inference = reference.batch_normalization(x, gamma, beta, mean, variance, 2e-3)
    np.testing.assert_allclose(layer(x, training=False), inference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("statistics", ["population", "batch", "frozen"])
def test_gradients_of_the_fused_kernel(statistics):
    """float64 takes the plain path, float32 TensorFlow's kernel."""
    gradients = []
    for dtype in ("float32", "float64"):
        x = tf.constant(data((2, 3, 5, 4), dtype))
        layer = BatchNormalization(training_statistics=statistics, dtype=dtype)
        filled(layer, x.shape)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) ** 3)
        gradients.append(tape.gradient(loss, [x, *layer.trainable_variables]))
    for fused, plain in zip(*gradients):
        np.testing.assert_allclose(fused, plain, rtol=2e-3, atol=2e-2)


def test_population_statistics_do_not_mix_videos():
    x = data((4, 2, 2, 3))
    layer = BatchNormalization()
    filled(layer, x.shape)
    start = layer.get_weights()
    together = np.asarray(layer(x, training=True))
    layer.set_weights(start)
    np.testing.assert_allclose(layer(x[:1], training=True), together[:1], rtol=1e-6)


def test_not_trainable_is_frozen():
    layer = BatchNormalization(training_statistics="batch")
    weights = filled(layer, (2, 3))
    layer.trainable = False
    layer(data((2, 3)), training=True)
    np.testing.assert_allclose(layer.moving_mean, weights[2], rtol=1e-6)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_without_gamma_or_beta(options):
    x = data((2, 3, 5, 4))
    ours = BatchNormalization(**options)
    theirs = keras.layers.BatchNormalization(**options)
    assert len(ours(x).shape) == len(theirs(x).shape)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


def test_mixed_precision_has_float32_statistics():
    layer = BatchNormalization(dtype=keras.mixed_precision.Policy("mixed_bfloat16"))
    x = data((2, 3, 5, 4))
    assert layer(x, training=True).dtype == tf.bfloat16
    assert {tf.as_dtype(w.dtype) for w in layer.weights} == {tf.float32}
    np.testing.assert_allclose(layer.moving_mean, 0.001 * x.mean((0, 1, 2)), rtol=2e-2)


def test_config_round_trip():
    layer = BatchNormalization(
        training_statistics="batch", momentum=0.5, epsilon=0.01, center=False, name="bn"
    )
    assert BatchNormalization.from_config(layer.get_config()).get_config() == layer.get_config()


def test_configuration_of_version_0_1_0():
    layer = BatchNormalization.from_config({"statistics": "frozen", "momentum": 0.5})
    assert (layer.training_statistics, layer.momentum) == ("frozen", 0.5)


def test_invalid_arguments():
    with pytest.raises(
        ValueError, match=r"must be one of.*Received: training_statistics='running'"
    ):
        BatchNormalization(training_statistics="running")
    with pytest.raises(TypeError):
        BatchNormalization(-1)  # the axis of Keras's layer
