"""Adapts the first convolution of an RGB network to stacked optical flow.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2; arXiv 1811.07059, sec. 4.
"""

from __future__ import annotations

import keras
import numpy as np


def cross_modality(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Makes the first kernel of a flow network from that of an RGB network.

    Averages over R, G and B and repeats over the new channels, as TSN and the paper do, without
    rescaling by 3 / channels: where the channels agree, the response is channels / 3 times as
    strong.

    Args:
        kernel: first kernel, `[height, width, 3, filters]`.
        channels: channels of the flow stack, 20 in the paper.

    Returns:
        Kernel `[height, width, channels, filters]`.
    """
    return np.repeat(kernel.mean(axis=2, keepdims=True), channels, axis=2)


def flow_stem(model: keras.Model, channels: int, pretrained: bool) -> keras.Model:
    """Copies a functional model for RGB images into one for stacked flow.

    Args:
        model: images `[batch, H, W, 3]` -> maps; not changed.
        channels: channels of the copy's input.
        pretrained: adapt the first kernel by `cross_modality`. Otherwise initialize it for that
            many channels: an average of random kernels would start all channels equal, and weaker.

    Returns:
        Model of `[batch, H, W, channels]` -> maps. All weights but the first kernel are copied.
    """
    images = keras.Input((*model.input_shape[1:-1], channels))
    copy = keras.models.clone_model(model, input_tensors=images)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    for layer in model.layers[1:]:  # the input's name differs
        weights, own = layer.get_weights(), copy.get_layer(layer.name)
        if layer is first:
            kernel = cross_modality(weights[0], channels) if pretrained else own.get_weights()[0]
            weights = [kernel, *weights[1:]]
        own.set_weights(weights)
    return copy
