"""Layers that every backend of Keras must compute alike.

As a script, `python backend_layers.py CASE.npz RESULT.npz` computes them under the backend that is
set: a backend is chosen before Keras is imported.
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np

from rlstm_tf.layers import BatchNormalization, NonLocalOperation, PixelScaling, RelationalLSTM

OPTIONS = {"attention_norm": True, "local_term": True, "displacement_term": True}


def create() -> dict[str, Any]:
    """Returns the layers by name."""
    sequences = {"return_sequences": True}
    return {
        "unrolled": RelationalLSTM(4, unroll=True, **sequences),
        "loop": RelationalLSTM(4, **sequences),
        "masked_unrolled": RelationalLSTM(4, unroll=True, **sequences),
        "masked_loop": RelationalLSTM(4, **sequences),
        "masked_backwards": RelationalLSTM(4, go_backwards=True, **sequences),
        "double": RelationalLSTM(4, "dot_product", dtype="float64", **OPTIONS),
        "non_local": NonLocalOperation(4),
        "non_local_double": NonLocalOperation(4, dtype="float64", **OPTIONS),
        "options": RelationalLSTM(4, **sequences, **OPTIONS),
        "bn": BatchNormalization(momentum=0.5),
        "pixels_caffe": PixelScaling("caffe"),
        "pixels_torch": PixelScaling("torch"),
    }


def results(layers: dict[str, Any], case: Any) -> dict[str, np.ndarray]:
    """Returns the output of each built layer; `masked_...` also behind a `Masking` layer."""
    found = {}
    for name, layer in layers.items():
        x = input_of(name, case["X"])
        if name.startswith("masked"):
            found[name] = layer(x, mask=keras.ops.convert_to_tensor(case["mask"]))
            inputs = keras.Input((None, *x.shape[2:]))
            model = keras.Model(inputs, layer(keras.layers.Masking()(inputs)))
            found[f"{name}_model"] = model(x * case["mask"][:, :, None, None, None])
        elif name == "non_local_double":
            found[name], found["weights_double"] = layer(x, return_attention_scores=True)
        else:
            found[name] = layer(x, **({"training": True} if name == "bn" else {}))
    found["moved"] = layers["bn"].moving_variance
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def input_of(name: str, X: np.ndarray) -> np.ndarray:
    """Returns what a layer takes of X `[batch, T, H, W, C]`."""
    x = X[:, 0] if name.startswith("non_local") else X
    if name.startswith("pixels"):
        return (50 * X[..., :3]).astype("uint8")
    return x.astype("float64" if name.endswith("double") else "float32")


if __name__ == "__main__":
    case = np.load(sys.argv[1])
    layers = create()
    for name, layer in layers.items():
        layer.build(input_of(name, case["X"]).shape)
        layer.set_weights([case[f"{name}_{k}"] for k in range(len(layer.weights))])
    np.savez(sys.argv[2], backend=keras.backend.backend(), **results(layers, case))
