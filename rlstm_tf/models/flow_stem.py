"""A network for RGB images turned into one for stacked optical flow: the cross-modality stem.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016, section 3.2; arXiv 1811.07059, sec. 4.
"""

from __future__ import annotations

import keras
import numpy as np


def cross_modality(kernel: np.ndarray, channels: int) -> np.ndarray:
    """The first kernel of a network for flow, from that of a network for RGB.

    Averaged over R, G and B and repeated over the new channels, as in TSN and the paper: not
    rescaled by 3 / channels, so where the channels agree the response is channels / 3 times as
    strong.

    Args:
        kernel: [height, width, 3, filters].
        channels: of the flow stack, 20 in the paper.

    Returns:
        [height, width, channels, filters].
    """
    return np.repeat(kernel.mean(axis=2, keepdims=True), channels, axis=2)


def flow_stem(model: keras.Model, channels: int, pretrained: bool) -> keras.Model:
    """A copy of a functional model for RGB images that takes stacked flow instead.

    Args:
        model: images `[batch, H, W, 3]` -> maps; not changed.
        channels: of the copy's input.
        pretrained: the first kernel is `cross_modality` of the model's. Otherwise it stays as it
            was drawn for that many channels: an average of draws would start all channels alike,
            and weaker.

    Returns:
        The copy. All weights but the first kernel are the model's.
    """
    images = keras.Input((*model.input_shape[1:-1], channels))
    copy = keras.models.clone_model(model, input_tensors=images)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    for layer in model.layers[1:]:  # the input has another name
        weights, own = layer.get_weights(), copy.get_layer(layer.name)
        if layer is first:
            kernel = cross_modality(weights[0], channels) if pretrained else own.get_weights()[0]
            weights = [kernel, *weights[1:]]
        own.set_weights(weights)
    return copy
