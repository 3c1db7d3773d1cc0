"""Networks that every backend of Keras must compute and train alike.

As a script, `python backend_networks.py CASE.npz RESULT.npz` computes and trains them under the
backend that is set, as if TensorFlow was not installed.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

if __name__ == "__main__":
    sys.modules["tensorflow"] = None  # type: ignore[assignment]

import keras
import numpy as np

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import MODELS, build_model, efficientnet_lite
from rlstm_tf.models.dropout import Dropout
from rlstm_tf.models.freezing import freeze_backbone

# A power of two: the first momentum is the gradient times it, to the bit.
RATE = 2.0**-4
CLASSES = 5
IMAGE_SIZE = 32
SEGMENTS = 2
# One network has a stem for flow.
FLOW = "local"


def create(name: str) -> keras.Model:
    """Builds a network whose results depend on its weights and inputs alone, and smoothly.

    It drops nothing: masks differ between backends. Nor has it a ReLU, whose gradient jumps where
    rounding decides on which side of zero an input is: a relative change of 1e-7 in the weights
    changed gradients by a hundredth, under any backend.
    """
    options = {
        "model": name,
        "backbone": "efficientnet_lite0",
        "cut": "block2b_add",
        "weights": "none",
        "image_size": IMAGE_SIZE,
        "num_segments": SEGMENTS,
        "batch_norm_momentum": 0.99,
        "dropout": 0.0,
        # Unscaled, the softmax is so sharp that rounding moves it.
        "attention_scale": 0.05,
        "channels": 4 if name == FLOW else 3,
    }
    # Two stages of the seven: each shape takes JAX time to compile.
    backbone = {"_STAGES": efficientnet_lite._STAGES[:2], "_DROP_CONNECT": 0.0}
    with (
        mock.patch.multiple(efficientnet_lite, **backbone),
        mock.patch.object(keras.layers, "ReLU", _silu),
    ):
        model = build_model(ModelConfig(**options), CLASSES)
    freeze_backbone(model, "trunk" if name == "tsn" else "none")
    return model


def results(name: str, model: keras.Model, frames: Any, labels: Any) -> dict[str, np.ndarray]:
    """Returns logits, then the gradients of the first of three steps and the weights after them."""
    optimizer = keras.optimizers.SGD(RATE, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # JAX compiles a step sooner than its operations one by one; the others need not compile.
    model.compile(optimizer, loss, run_eagerly=keras.backend.backend() != "jax")
    found = {f"{name}/logits": model.predict_on_batch(frames)}
    options: dict[str, Any] = {"batch_size": len(labels), "shuffle": False, "verbose": 0}
    model.fit(frames, labels, **options)
    for k, momentum in enumerate(optimizer.momentums):
        found[f"{name}/gradient {k}"] = keras.ops.convert_to_numpy(momentum) / -RATE
    model.fit(frames, labels, epochs=2, **options)
    found.update((f"{name}/weight {k}", weight) for k, weight in enumerate(model.get_weights()))
    return found


def input_of(name: str) -> str:
    """Returns which input of a case the network takes."""
    return "flow" if name == FLOW else "frames"


def _silu(maximum: float, name: str) -> keras.layers.Layer:
    return keras.layers.Activation("silu", name=name)


if __name__ == "__main__":
    case = np.load(sys.argv[1])
    found = {"backend": np.array(keras.backend.backend())}
    for name in MODELS:
        model = create(name)
        model.set_weights([case[f"{name}_{k}"] for k in range(len(model.weights))])
        found.update(results(name, model, case[input_of(name)], case["labels"]))
    dropped = Dropout(0.5)(np.ones((64, 64), "float32"), training=True)
    found["dropped"] = keras.ops.convert_to_numpy(dropped)
    np.savez(sys.argv[2], **found)
