"""Layers and networks under Keras 3's other backends: the numbers that TensorFlow gives."""

import importlib.util
import os
import subprocess
import sys

import backend_chunks
import backend_layers
import backend_networks
import keras
import numpy as np
import pytest
from repository import ROOT

from rlstm_tf.compat import KERAS_3
from rlstm_tf.models import MODELS

pytestmark = pytest.mark.skipif(not KERAS_3, reason="Keras 2.15 has one backend")
BACKENDS = pytest.mark.parametrize("backend", ["jax", "torch"])


def run_under(backend, script, case, directory, **variables):
    """Runs a script on a case in a process of its own; returns the arrays that it wrote."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    paths = [str(directory / name) for name in ("case.npz", "result.npz")]
    np.savez(paths[0], **case)
    subprocess.run(
        [sys.executable, script.__file__, *paths],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            # Less work for the compiler of JAX: code that runs once.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
            **variables,
        },
        check=True,
    )
    result = np.load(paths[1])
    assert result["backend"] == backend
    return result


@BACKENDS
def test_layers(backend, tmp_path):
    rng = np.random.default_rng(0)
    case = {
        "X": rng.normal(size=(2, 3, 2, 3, 5)),
        "mask": np.array([[True, False, True], [True, True, False]]),
    }
    layers = backend_layers.create()
    for name, layer in layers.items():
        layer.build(backend_layers.input_of(name, case["X"]).shape)
        weights = [rng.uniform(0.1, 1.0, size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        case.update({f"{name}_{k}": weight for k, weight in enumerate(weights)})
    expected = backend_layers.results(layers, case)
    result = run_under(backend, backend_layers, case, tmp_path, JAX_ENABLE_X64="1")
    for name, values in expected.items():
        assert result[name].dtype == values.dtype, name
        # Keras's tanh computes float64 in float32 on JAX.
        is_double = name.endswith("double") and (backend, name) != ("jax", "double")
        precision = 1e-12 if is_double else 1e-5
        np.testing.assert_allclose(result[name], values, rtol=precision, atol=precision)
        if name.endswith("_model"):
            np.testing.assert_allclose(values, expected[name[: -len("_model")]], atol=1e-5)


@BACKENDS
def test_attention_in_chunks(backend, tmp_path):
    """As TensorFlow's with all weights at once, gradients too."""
    rng = np.random.default_rng(0)
    case = {"X": rng.normal(size=(2, 3, *backend_chunks.MAPS, 5)).astype("float32")}
    layers = backend_chunks.create()
    for name, layer in layers.items():
        layer.build(case["X"].shape)
        layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])
        case.update({f"{name}_{k}": weight for k, weight in enumerate(layer.get_weights())})
    expected = backend_chunks.results(layers, case["X"])
    result = run_under(backend, backend_chunks, case, tmp_path)
    assert set(result.files) == {"backend", *expected}
    for name, values in expected.items():
        scale = max(np.abs(values).max(), 1e-3)
        np.testing.assert_allclose(result[name], values, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.fixture(scope="module")
def networks():
    """Weights and inputs of all networks, and what TensorFlow makes of them."""
    rng = np.random.default_rng(0)
    shape = (2, backend_networks.SEGMENTS, *[backend_networks.IMAGE_SIZE] * 2)
    case = {"labels": np.array([1, 3])}
    for name, channels in (("frames", 3), ("flow", 4)):
        case[name] = rng.integers(0, 256, (*shape, channels), dtype="uint8")
    expected = {}
    for name in MODELS:
        keras.utils.set_random_seed(0)
        model = backend_networks.create(name)
        weights = model.get_weights()
        for weight in weights:
            if weight.ndim == 1:  # those that begin as zeros or ones
                weight += rng.uniform(-0.1, 0.1, weight.shape)
        model.set_weights(weights)
        case.update({f"{name}_{k}": weight for k, weight in enumerate(weights)})
        frames = case[backend_networks.input_of(name)]
        expected.update(backend_networks.results(name, model, frames, case["labels"]))
    return case, expected


@BACKENDS
def test_networks(backend, networks, tmp_path):
    """Logits, gradients, and the weights after three steps of `fit`, without TensorFlow.

    All networks in one process, because it is the compiler of JAX that takes the time.
    """
    case, expected = networks
    result = run_under(backend, backend_networks, case, tmp_path)
    assert set(result.files) == {"backend", "dropped", *expected}
    for name, values in expected.items():
        # Some gradients are zero but for rounding: those of biases that a softmax cancels.
        scale = max(np.abs(values).max(), 1e-3)
        np.testing.assert_allclose(result[name], values, rtol=0, atol=1e-5 * scale, err_msg=name)
    assert set(np.unique(result["dropped"])) == {0.0, 2.0}
