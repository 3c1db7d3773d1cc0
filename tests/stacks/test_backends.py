"""The layers under Keras 3's other backends: the numbers that TensorFlow gives."""

import importlib.util
import os
import subprocess
import sys

import backend_layers
import numpy as np
import pytest
from repository import ROOT

from rlstm_tf.compat import KERAS_3


@pytest.mark.skipif(not KERAS_3, reason="Keras 2.15 has one backend")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
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
    np.savez(tmp_path / "case.npz", **case)
    paths = [str(tmp_path / name) for name in ("case.npz", "result.npz")]
    subprocess.run(
        [sys.executable, backend_layers.__file__, *paths],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "JAX_ENABLE_X64": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        },
        check=True,
    )
    result = np.load(paths[1])
    assert result["backend"] == backend
    for name, values in expected.items():
        assert result[name].dtype == values.dtype, name
        # Keras's tanh computes float64 in float32 on JAX.
        is_double = name.endswith("double") and (backend, name) != ("jax", "double")
        precision = 1e-12 if is_double else 1e-5
        np.testing.assert_allclose(result[name], values, rtol=precision, atol=precision)
        if name.endswith("_model"):
            np.testing.assert_allclose(values, expected[name[: -len("_model")]], atol=1e-5)
