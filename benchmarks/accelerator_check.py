"""Compares the Relational LSTM and its gradients on a device with NumPy in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from benchmarks.accelerator_cases import mean_square, tensor
from benchmarks.backends.backend import Backend
from rlstm_tf.layers import RelationalLSTM

# Largest error allowed: of the outputs relative to the largest output, of a derivative relative to
# the norm of the gradient. The mantissa has 23, 10 and 7 bits; errors add up over T and units.
TOLERANCES = {"float32": 1e-5, "tf32": 1e-2, "bfloat16": 1e-1}
_SHAPE, _UNITS = (2, 4, 3, 5, 64), 32
_STEP = 1e-4
_WEIGHTS = ("kernel", "bias", "recurrent_kernel", "recurrent_bias")


def errors(backend: Backend) -> tuple[float, float]:
    """Returns the errors of the outputs and of the gradients, in Keras's current precision.

    The gradient of each weight and of the input is compared along a random direction with a
    difference quotient of the reference.
    """
    dtype = keras.config.dtype_policy().compute_dtype
    inputs = keras.Input(_SHAPE[1:], dtype=dtype)
    layer = RelationalLSTM(_UNITS, unroll=True)
    network = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    values = {"X": _representable(rng.normal(size=_SHAPE))}
    for name in _WEIGHTS:
        weight = getattr(layer.cell, name)
        scale = 0.1 if "bias" in name else weight.shape[0] ** -0.5
        values[name] = _representable(scale * rng.normal(size=weight.shape))
        weight.assign(values[name])
    x = tensor(values["X"], dtype)
    expected = reference(values)
    outputs = _as_array(backend.forward(network, x)()).reshape(expected.shape)
    forward = np.abs(outputs - expected).max() / np.abs(expected).max()

    gradients = backend.gradients(network, x, mean_square, True)()
    names = [*(weight.name for weight in network.trainable_variables), "X"]
    off = []
    for name, gradient in zip(names, map(_as_array, gradients)):
        norm = np.linalg.norm(gradient)
        # Half at random: along the gradient alone, a small error is not seen.
        direction = gradient / norm + _unit(rng.normal(size=gradient.shape))
        ahead, behind = (
            (reference({**values, name: values[name] + step * direction}) ** 2).mean()
            for step in (_STEP, -_STEP)
        )
        slope = (ahead - behind) / (2 * _STEP)
        off.append(abs((gradient * direction).sum() - slope) / norm)
    return float(forward), float(max(off))


def reference(values: Mapping[str, Any]) -> np.ndarray:
    """Computes H_T of eq. 3 from X and the layer's weights: `[batch, N, units]`, float64."""
    X = values["X"].reshape(*_SHAPE[:2], -1, _SHAPE[-1])
    H = C = np.zeros((len(X), X.shape[2], _UNITS))

    def embed(x: Any, prefix: str) -> Any:
        """Returns embeddings, gates, batch, N, units."""
        kernel, bias = values[f"{prefix}kernel"], values[f"{prefix}bias"]
        blocks = (x @ kernel + bias).reshape(*x.shape[:2], -1, 4, _UNITS)
        return blocks.transpose(2, 3, 0, 1, 4)

    for t in range(X.shape[1]):
        theta_x, phi_x, g_x, theta_h = embed(X[:, t], "")
        phi_h, g_h = embed(H, "recurrent_")
        i, f, o, g = _relate(theta_x, phi_x, g_x) + _relate(theta_h, phi_h, g_h)
        C = _sigmoid(f) * C + _sigmoid(i) * np.tanh(g)
        H = _sigmoid(o) * np.tanh(C)
    return H


def _relate(theta: Any, phi: Any, g: Any) -> Any:
    """Eq. 4: a softmax over the positions of phi."""
    logits = theta @ np.swapaxes(phi, -1, -2)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ g


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _unit(x: Any) -> Any:
    return x / np.linalg.norm(x)


def _representable(x: Any) -> np.ndarray:
    """Cuts off all bits that bfloat16 does not have: the error is that of the computation."""
    bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


def _as_array(x: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")).astype(np.float64)
