"""A ResNetV2 small enough to train on two CPU cores, with the layer names of Keras's ResNetV2.

Source: He et al., *Identity Mappings in Deep Residual Networks* (arXiv 1603.05027), arranged as in
`keras.applications.resnet_v2`, so that a configuration names the same layers for both.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

# As in keras.applications.resnet_v2.
_EPSILON = 1.001e-5


def tiny_resnet_v2(
    input_shape: tuple[int, int, int] = (64, 64, 3),
    widths: Sequence[int] = (16, 24, 32, 64, 64),
) -> keras.Model:
    """Builds the network without a classifier, like `ResNet50V2(include_top=False)`.

    conv2, conv3 and conv4 have one bottleneck block each, conv5 has three. As in Keras, a stage's
    stride is in its last block, conv5 has stride 1, and blocks end before the activation:
    `post_bn` and `post_relu` end the network. Unlike Keras, conv3 and conv4 have stride 1 too, so
    that maps are 1/8 of the input and not 1/32: 8x8 at 64x64, fine enough to remember where a
    shape has been.

    Args:
        input_shape: (height, width, channels).
        widths: output channels of conv1 to conv5; multiples of 4 from conv2 on.

    Returns:
        Functional model of float images `[B, H, W, channels]` in -1..1 -> float maps
        `[B, H/8, W/8, widths[-1]]`, with random weights (Glorot).

    Raises:
        ValueError: `widths` has another length, or values that are not multiples of 4.
    """
    if len(widths) != 5 or any(width % 4 for width in widths[1:]):
        raise ValueError(
            f"widths must be five, the last four multiples of 4. Received: widths={tuple(widths)}"
        )
    images = keras.Input(shape=input_shape)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(images)
    x = layers.Conv2D(widths[0], 7, strides=2, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (width, blocks, stride) in enumerate(
        zip(widths[1:], (1, 1, 1, 3), (2, 1, 1, 1)), start=2
    ):
        for block in range(1, blocks + 1):
            x = _block(
                x,
                width,
                stride=stride if block == blocks else 1,
                conv_shortcut=block == 1,
                name=f"conv{stage}_block{block}",
            )
    x = _normalize(x, "post")
    return keras.Model(images, x, name="tiny_resnetv2")


def _block(x, width: int, stride: int, conv_shortcut: bool, name: str):
    """A pre-activation bottleneck block, `[B, H, W, C]` -> `[B, H/stride, W/stride, width]`."""
    preact = _normalize(x, f"{name}_preact")
    if conv_shortcut:
        shortcut = layers.Conv2D(width, 1, strides=stride, name=f"{name}_0_conv")(preact)
    else:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x) if stride > 1 else x
    y = layers.Conv2D(width // 4, 1, use_bias=False, name=f"{name}_1_conv")(preact)
    y = _normalize(y, f"{name}_1")
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = layers.Conv2D(width // 4, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(y)
    y = _normalize(y, f"{name}_2")
    y = layers.Conv2D(width, 1, name=f"{name}_3_conv")(y)
    return layers.Add(name=f"{name}_out")([shortcut, y])


def _normalize(x, name: str):
    """Batch normalization and ReLU."""
    x = layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)
