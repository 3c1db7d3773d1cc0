"""Attention in chunks, with its gradients, that every backend of Keras must compute alike.

As a script, `python backend_chunks.py CASE.npz RESULT.npz` computes it under the backend that is
set.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

import keras
import numpy as np

from rlstm_tf.layers import RelationalLSTM, relation

# 4 gates of 3 x 3 positions; 2 chunks of a 3 x 3 map, one of them smaller.
MAPS = (3, 3)
MOST_WEIGHTS = 4 * 5 * 9
RATE = 2.0**-4


def create() -> dict[str, Any]:
    """Returns layers by name: every pairwise function, the loop and the unrolled one."""
    options: dict[str, Any] = {"return_sequences": True}
    terms = dict.fromkeys(relation.TERMS, True)
    return {
        "paper": RelationalLSTM(4, **options),
        "unrolled": RelationalLSTM(4, unroll=True, **options, **terms),
        "dot_product": RelationalLSTM(4, "dot_product", **options, **terms),
        "concatenation": RelationalLSTM(4, "concatenation", **options, **terms),
    }


def results(layers: dict[str, Any], X: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs of each built layer, and the gradients of its weights."""
    found = {}
    for name, layer in layers.items():
        inputs = keras.Input(X.shape[1:])
        model = keras.Model(inputs, layer(inputs))
        # The first momentum is the gradient times the rate, to the bit.
        optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
        model.compile(optimizer, "mse", run_eagerly=keras.backend.backend() == "torch")
        found[f"{name}/H"] = H = model.predict_on_batch(X)
        model.train_on_batch(X, np.ones_like(H))
        for k, momentum in enumerate(optimizer.momentums):
            found[f"{name}/gradient {k}"] = keras.ops.convert_to_numpy(momentum) / -RATE
    return found


if __name__ == "__main__":
    case = np.load(sys.argv[1])
    layers = create()
    for name, layer in layers.items():
        layer.build(case["X"].shape)
        layer.set_weights([case[f"{name}_{k}"] for k in range(len(layer.weights))])
    with mock.patch.object(relation, "MOST_WEIGHTS", MOST_WEIGHTS):
        found = results(layers, case["X"])
    np.savez(sys.argv[2], backend=keras.backend.backend(), **found)
