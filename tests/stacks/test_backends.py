"""The layers under Keras 3's other backends: the numbers that TensorFlow gives."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT

from rlstm_tf.compat import KERAS_3
from rlstm_tf.layers import BatchNormalization, NonLocalOperation, RelationalLSTM

# Runs in a process of its own: a backend is chosen before Keras is imported.
SCRIPT = """
import sys
import keras
import numpy as np
from rlstm_tf.layers import BatchNormalization, NonLocalOperation, RelationalLSTM

case = np.load(sys.argv[1])
X = case["X"]
results = {"backend": keras.backend.backend()}
for name, layer in {
    "unrolled": RelationalLSTM(4, return_sequences=True, unroll=True),
    "loop": RelationalLSTM(4, return_sequences=True),
    "non_local": NonLocalOperation(4),
    "options": RelationalLSTM(
        4, attention_norm=True, local_term=True, displacement_term=True, return_sequences=True
    ),
    "bn": BatchNormalization(momentum=0.5),
}.items():
    x = X[:, 0] if name == "non_local" else X
    layer.build(x.shape)
    count = len(layer.weights)
    layer.set_weights([case[f"{name}_{k}"] for k in range(count)])
    training = {"training": True} if name == "bn" else {}
    results[name] = keras.ops.convert_to_numpy(layer(x, **training))
    if name == "bn":
        results["moved"] = keras.ops.convert_to_numpy(layer.moving_variance)
np.savez(sys.argv[2], **results)
"""


@pytest.mark.skipif(not KERAS_3, reason="Keras 2.15 has one backend")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 3, 2, 3, 5)).astype("float32")
    layers = {
        "unrolled": RelationalLSTM(4, return_sequences=True, unroll=True),
        "loop": RelationalLSTM(4, return_sequences=True),
        "non_local": NonLocalOperation(4),
        "options": RelationalLSTM(
            4, attention_norm=True, local_term=True, displacement_term=True, return_sequences=True
        ),
        "bn": BatchNormalization(momentum=0.5),
    }
    case, expected = {"X": X}, {}
    for name, layer in layers.items():
        x = X[:, 0] if name == "non_local" else X
        layer.build(x.shape)
        weights = [rng.uniform(0.1, 1.0, size=w.shape) for w in layer.get_weights()]
        layer.set_weights(weights)
        case.update({f"{name}_{k}": weight for k, weight in enumerate(weights)})
        expected[name] = layer(x, **({"training": True} if name == "bn" else {}))
    np.savez(tmp_path / "case.npz", **case)
    root = ROOT
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "case.npz"), str(tmp_path / "result.npz")],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join([str(root), *sys.path]),
        },
        check=True,
    )
    result = np.load(tmp_path / "result.npz")
    assert result["backend"] == backend
    for name in layers:
        np.testing.assert_allclose(result[name], expected[name], atol=1e-5)
    np.testing.assert_allclose(result["moved"], layers["bn"].moving_variance, rtol=1e-5)
